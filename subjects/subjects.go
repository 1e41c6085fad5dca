// Package subjects is Falconer's contract with the outside: the names of its
// subjects, streams and buckets, their configuration, and the JSON Schemas of
// what it publishes. Nothing else in Falconer spells a subject.
package subjects

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
)

// What falcosidekick publishes to, and the roots of Falconer's own subjects.
const (
	Alerts  = "falco.>"
	Reports = "falconer.report.>"
	Tasks   = "falconer.task.>"
	// Dead is everything about dead letters: the letters themselves, DeadLetters,
	// and beside each one that was replayed its record, Replays.
	Dead        = "falconer.dead.>"
	DeadLetters = "falconer.dead.*.*"
	Replays     = "falconer.dead.*.*.replayed"
	Cursors     = "falconer.cursor.*"
	States      = "falconer.incident.*.*"
	// Silenced are the partitions' lists of silences, Silences the orders that
	// begin and end them.
	Silenced = "falconer.silenced.*"
	Silences = "falconer.silence.*"
	Ticks    = "falconer.tick.*"
	// Own matches all of Falconer's subjects.
	Own = "falconer.>"
	// Partitioned matches the alerts that the transform of FALCO has spread.
	Partitioned = rawRoot + ">"

	rawRoot  = "falconer.raw."
	tickRoot = "falconer.tick."
)

// Headers on every output.
const (
	// HeaderID is the output's own id, the same as Nats-Msg-Id.
	HeaderID = "Falconer-Id"
	// HeaderSchema is the form of the body, such as "report.v1".
	HeaderSchema = "Falconer-Schema"
	// HeaderContentType is always application/json.
	HeaderContentType = "Content-Type"
	// HeaderReplay marks an alert that was published again: the id of its dead letter.
	HeaderReplay = "Falconer-Replay"
)

// Token reports whether s may stand as one token of a subject here: lower-case
// letters, digits, "_" and "-".
func Token(s string) bool { return token.MatchString(s) }

var token = regexp.MustCompile(`^[a-z0-9_-]+$`)

// Report is the subject of a report: routing tokens first, so that consumers
// filter by severity and rule; then what makes it unique.
func Report(severity, ruleSlug, incident, kind string) string {
	return "falconer.report." + severity + "." + ruleSlug + "." + incident + "." + kind
}

// Task is the subject of a task.
func Task(severity, kind, incident, task string) string {
	return "falconer.task." + severity + "." + kind + "." + incident + "." + task
}

// DeadLetter is the subject of the dead letter for the alert at seq of the raw
// stream in its life era; "*" stands for any. The era keeps a raw stream that was
// made anew, whose sequences begin again, from taking an older letter's place.
func DeadLetter(seq uint64, era string) string {
	return "falconer.dead." + strconv.FormatUint(seq, 10) + "." + era
}

// Replay is the subject of the record that a dead letter was replayed.
func Replay(seq uint64, era string) string { return DeadLetter(seq, era) + ".replayed" }

// Cursor is the subject of a partition's read position.
func Cursor(partition int) string { return "falconer.cursor." + strconv.Itoa(partition) }

// State is the subject of an incident's stored state.
func State(partition int, fingerprint string) string {
	return fmt.Sprintf("falconer.incident.%d.%s", partition, fingerprint)
}

// PartitionStates matches every state of a partition.
func PartitionStates(partition int) string { return fmt.Sprintf("falconer.incident.%d.*", partition) }

// Tick is where a quiet partition asks the broker for the time.
func Tick(partition int) string { return tickRoot + strconv.Itoa(partition) }

// Raw lists the subjects of the raw stream that a partition reads, of so many: its
// alerts and ticks, and what all partitions read, which is the orders to silence
// and the alerts about dropped system calls. What the stream's transform leaves as
// it was belongs to partition 0.
func Raw(partition, of int) []string {
	out := append(RawAlerts(partition), Tick(partition), Silences)
	if home := dropsHome(of); home != partition {
		out = append(out, rawRoot+strconv.Itoa(home)+".*."+dropsToken)
	}
	return out
}

// dropsToken is how falcosidekick names the rule "Falco internal: syscall event
// drop" in a subject.
const dropsToken = "falco_internal_syscall_event_drop"

// dropsHome is the partition that the stream's transform gives the token to:
// nats-server takes the 32-bit FNV-1a hash (server/subject_transform.go).
func dropsHome(of int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dropsToken))
	return int(h.Sum32() % uint32(of))
}

// IsForeign reports whether a message of the raw stream is an alert that another
// partition than this one counts.
func IsForeign(subject string, partition int) bool {
	rest, ok := strings.CutPrefix(subject, rawRoot)
	n, _, _ := strings.Cut(rest, ".")
	return ok && n != strconv.Itoa(partition)
}

// ReadBy tells which partition, of so many, reads a message of the raw stream, or -1
// when none does. All says that every partition does; home then counts it if it is an
// alert. It agrees with Raw.
func ReadBy(subject string, of int) (home int, all bool) {
	if rest, ok := strings.CutPrefix(subject, rawRoot); ok {
		n, rest, _ := strings.Cut(rest, ".")
		_, rule, _ := strings.Cut(rest, ".")
		home = partitionOf(n, of)
		return home, rule == dropsToken && home == dropsHome(of)
	}
	if n, ok := strings.CutPrefix(subject, tickRoot); ok {
		return partitionOf(n, of), false
	}
	if IsSilence(subject) {
		return -1, true
	}
	if strings.HasPrefix(subject, "falco.") {
		return 0, false
	}
	return -1, false
}

// partitionOf reads the number of a partition, of so many, or returns -1.
func partitionOf(token string, of int) int {
	if n, err := strconv.Atoi(token); err == nil && n >= 0 && n < of && strconv.Itoa(n) == token {
		return n
	}
	return -1
}

// RawAlerts lists the subjects of a partition's alerts alone.
func RawAlerts(partition int) []string {
	out := []string{rawRoot + strconv.Itoa(partition) + ".>"}
	if partition == 0 {
		out = append(out, Alerts)
	}
	return out
}

// Silence is where an order that begins or ends a silence is published.
func Silence(id string) string { return "falconer.silence." + id }

// IsSilence reports whether a message of the raw stream is an order to silence.
func IsSilence(subject string) bool { return strings.HasPrefix(subject, "falconer.silence.") }

// SilencedIn is the subject of a partition's list of silences.
func SilencedIn(partition int) string { return "falconer.silenced." + strconv.Itoa(partition) }

// IsTick reports whether a message of the raw stream is a tick.
func IsTick(subject string) bool { return strings.HasPrefix(subject, tickRoot) }

// Origin returns the subject that a message of the raw stream was published to.
func Origin(subject string) string {
	rest, ok := strings.CutPrefix(subject, rawRoot)
	if !ok {
		return subject
	}
	_, rest, _ = strings.Cut(rest, ".")
	return "falco." + rest
}

// StoredAs matches the subjects under which the raw stream may hold what was
// published to origin: as the transform makes it, in whichever partition.
func StoredAs(origin string) string {
	t := strings.Split(origin, ".")
	if len(t) != 3 || t[0] != "falco" {
		return origin
	}
	return rawRoot + "*." + t[1] + "." + t[2]
}

// ReportName is what a report's subject says.
type ReportName struct{ Severity, Rule, Incident, Kind string }

// ParseReport takes a report's subject apart.
func ParseReport(subject string) (ReportName, error) {
	t := strings.Split(subject, ".")
	if len(t) != 6 || !strings.HasPrefix(subject, "falconer.report.") {
		return ReportName{}, fmt.Errorf("%q is no report's subject: want falconer.report.<severity>.<rule>.<incident>.<kind>", subject)
	}
	return ReportName{t[2], t[3], t[4], t[5]}, nil
}

// TaskName is what a task's subject says.
type TaskName struct{ Severity, Kind, Incident, Task string }

// ParseTask takes a task's subject apart.
func ParseTask(subject string) (TaskName, error) {
	t := strings.Split(subject, ".")
	if len(t) != 6 || !strings.HasPrefix(subject, "falconer.task.") {
		return TaskName{}, fmt.Errorf("%q is no task's subject: want falconer.task.<severity>.<kind>.<incident>.<task>", subject)
	}
	return TaskName{t[2], t[3], t[4], t[5]}, nil
}

// ParseState takes the subject of an incident's state apart.
func ParseState(subject string) (partition int, fingerprint string, err error) {
	t := strings.Split(subject, ".")
	if len(t) == 4 && strings.HasPrefix(subject, "falconer.incident.") {
		if partition, err = strconv.Atoi(t[2]); err == nil {
			return partition, t[3], nil
		}
	}
	return 0, "", fmt.Errorf("%q is no state's subject: want falconer.incident.<partition>.<fingerprint>", subject)
}
