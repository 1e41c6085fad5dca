package subjects_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// home16 is where nats-server's partition(16,2) puts Falco's alerts about drops:
// stream's tests hold it against a server.
const home16 = "1"

const incident = "00112233445566ff-1z-era9"

func TestToken(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "terminal_shell_in_container": true, "escalated-1": true, "0": true, incident: true,
		"": false, "A": false, "a.b": false, "*": false, ">": false, "a b": false, "é": false, "a\n": false, "a/b": false, "$SYS": false,
	} {
		require.Equal(t, want, subjects.Token(s), "%q", s)
	}
}

func TestReportSubjectRoundTrip(t *testing.T) {
	subject := subjects.Report("critical", "terminal_shell_in_container", incident, "x10")
	require.Equal(t, "falconer.report.critical.terminal_shell_in_container."+incident+".x10", subject)
	require.True(t, covers(subjects.Reports, subject))

	name, err := subjects.ParseReport(subject)
	require.NoError(t, err)
	require.Equal(t, subjects.ReportName{Severity: "critical", Rule: "terminal_shell_in_container", Incident: incident, Kind: "x10"}, name)
}

func TestTaskSubjectRoundTrip(t *testing.T) {
	subject := subjects.Task("low", "contain", incident, "isolate-pod")
	require.Equal(t, "falconer.task.low.contain."+incident+".isolate-pod", subject)
	require.True(t, covers(subjects.Tasks, subject))

	name, err := subjects.ParseTask(subject)
	require.NoError(t, err)
	require.Equal(t, subjects.TaskName{Severity: "low", Kind: "contain", Incident: incident, Task: "isolate-pod"}, name)
}

func TestStateSubjectRoundTrip(t *testing.T) {
	subject := subjects.State(15, "00112233445566ff")
	require.Equal(t, "falconer.incident.15.00112233445566ff", subject)
	require.True(t, covers(subjects.States, subject))
	require.True(t, covers(subjects.PartitionStates(15), subject))
	require.False(t, covers(subjects.PartitionStates(1), subject), "partition 1 must not take partition 15's states")

	partition, fingerprint, err := subjects.ParseState(subject)
	require.NoError(t, err)
	require.Equal(t, 15, partition)
	require.Equal(t, "00112233445566ff", fingerprint)
}

func TestParsersRefuseWhatTheyDidNotBuild(t *testing.T) {
	for _, s := range []string{
		"", "falconer", "falconer.report.critical.rule." + incident, "falconer.report.a.b.c.d.e",
		"falconer.task.low.contain." + incident, "falco.report.a.b.c.d", "falconer.reports.a.b.c.d",
		"falconer.incident.15", "falconer.incident.x.00112233445566ff", "falconer.incident.1.2.3",
	} {
		_, err := subjects.ParseReport(s)
		require.ErrorContains(t, err, "want falconer.report.<severity>.<rule>.<incident>.<kind>", s)
		_, err = subjects.ParseTask(s)
		require.ErrorContains(t, err, "want falconer.task.<severity>.<kind>.<incident>.<task>", s)
		_, _, err = subjects.ParseState(s)
		require.ErrorContains(t, err, "want falconer.incident.<partition>.<fingerprint>", s)
	}
}

func TestOtherSubjects(t *testing.T) {
	require.Equal(t, "falconer.dead.18446744073709551615.era", subjects.DeadLetter(1<<64-1, "era"))
	require.True(t, covers(subjects.Dead, subjects.DeadLetter(7, "era")))
	require.True(t, covers(subjects.DeadLetters, subjects.DeadLetter(7, "era")))
	require.Equal(t, "falconer.dead.7.era.replayed", subjects.Replay(7, "era"))
	require.True(t, covers(subjects.Dead, subjects.Replay(7, "era")))
	require.True(t, covers(subjects.Replays, subjects.Replay(7, "era")))
	require.False(t, covers(subjects.DeadLetters, subjects.Replay(7, "era")), "whoever takes dead letters gets no records")
	require.False(t, covers(subjects.Replays, subjects.DeadLetter(7, "era")))
	require.Equal(t, "falconer.cursor.3", subjects.Cursor(3))
	require.True(t, covers(subjects.Cursors, subjects.Cursor(3)))
	require.True(t, covers(subjects.Silences, subjects.Silence("0123abcd")))
	require.True(t, subjects.IsSilence(subjects.Silence("0123abcd")))
	require.False(t, subjects.IsSilence(subjects.SilencedIn(3)))
	require.True(t, covers(subjects.Silenced, subjects.SilencedIn(3)))
	require.Equal(t, "falconer.tick.3", subjects.Tick(3))
	require.True(t, subjects.IsTick(subjects.Tick(3)))
	require.False(t, subjects.IsTick("falco.warning.falconer.tick.3"))
}

func TestRawSubjectsOfAPartition(t *testing.T) {
	drops := "falconer.raw.HOME.*.falco_internal_syscall_event_drop"
	drops = strings.Replace(drops, "HOME", home16, 1)
	require.Equal(t, []string{"falconer.raw.3.>", "falconer.tick.3", "falconer.silence.*", drops}, subjects.Raw(3, 16))
	require.Equal(t, []string{"falconer.raw.0.>", "falco.>", "falconer.tick.0", "falconer.silence.*", drops}, subjects.Raw(0, 16),
		"what the transform leaves over belongs to partition 0")
	n, err := strconv.Atoi(home16)
	require.NoError(t, err)
	require.NotContains(t, subjects.Raw(n, 16), drops, "filters of a consumer must not overlap")
	require.True(t, subjects.IsForeign(strings.Replace(drops, "*", "debug", 1), 3))
	require.False(t, subjects.IsForeign(strings.Replace(drops, "*", "debug", 1), n))
	require.False(t, subjects.IsForeign("falconer.raw.3.warning.a", 3))
	require.False(t, subjects.IsForeign("falco.odd", 3))
	require.False(t, subjects.IsForeign("falconer.silence.x", 3))
}

func TestOrigin(t *testing.T) {
	for subject, want := range map[string]string{
		"falconer.raw.11.critical.terminal_shell_in_container": "falco.critical.terminal_shell_in_container",
		"falconer.raw.0.warning.a":                             "falco.warning.a",
		"falco.team.warning.a":                                 "falco.team.warning.a",
		"falco.alerts":                                         "falco.alerts",
	} {
		require.Equal(t, want, subjects.Origin(subject))
	}
}

func TestStoredAs(t *testing.T) {
	for origin, stored := range map[string]string{
		"falco.warning.a":      "falconer.raw.11.warning.a",
		"falco.team.warning.a": "falco.team.warning.a",
		"falco.alerts":         "falco.alerts",
	} {
		require.True(t, covers(subjects.StoredAs(origin), stored), origin)
		require.Equal(t, origin, subjects.Origin(stored))
	}
	require.False(t, covers(subjects.StoredAs("falco.warning.a"), "falconer.raw.11.warning.b"))
}

// covers reports whether a subject matches a filter, by the rules of NATS.
func covers(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

// Whoever reads all of the stream gives each partition what it would read by itself.
func TestReadByAgreesWithTheSubjectsOfAPartition(t *testing.T) {
	stored := []string{
		"falco.odd", "falco.a.b.c", "falco", "falconer.silence.0123abcd", "falconer.silenced.3", "falconer.cursor.1",
		"falconer.tick.0", "falconer.tick.3", "falconer.tick.16", "falconer.tick.-1", "falconer.tick.x", "falconer.tick.03",
		"falconer.raw.3.warning.falco_internal_syscall_event_drop_2", "falconer.raw.x.warning.a",
	}
	for p := range 20 {
		n := strconv.Itoa(p)
		stored = append(stored, "falconer.raw."+n+".warning.a_rule", "falconer.raw."+n+".debug.falco_internal_syscall_event_drop")
	}
	for _, subject := range stored {
		home, all := subjects.ReadBy(subject, 16)
		for p := range 16 {
			reads := slices.ContainsFunc(subjects.Raw(p, 16), func(filter string) bool { return covers(filter, subject) })
			require.Equal(t, reads, all || home == p, "%s, partition %d", subject, p)
			if reads && home >= 0 && strings.HasPrefix(subject, "falconer.raw.") {
				require.Equal(t, home != p, subjects.IsForeign(subject, p), subject)
			}
		}
	}
}
