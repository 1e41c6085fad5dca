package processor

import (
	"fmt"
	"strconv"
	"time"
)

// RuleLost is the rule of the incident that says that alerts were lost: the raw
// stream dropped them before they were read. Falconer raises it itself.
const RuleLost = "Falconer: alerts lost before they were read"

// fieldLost is the output field that tells gaps apart where incidents list samples.
const fieldLost = "falconer.lost"

// Gap is a part of the raw stream that was dropped before its partition was read.
type Gap struct {
	Partition int
	// First and Last bound it by sequence.
	First, Last uint64
	// Messages is how many sequences between them were not seen: at most so many
	// alerts of the partition are lost, since others' messages stand there too.
	Messages uint64
	// Time is a broker's time at which it was over: nothing that is read later was
	// stored earlier.
	Time time.Time
}

// alert says what happened in the form in which Falco would.
func (g Gap) alert() *Alert {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return &Alert{
		Rule: RuleLost, Source: SourceInternal, Priority: Critical, Time: brokerTime(g.Time),
		Output: fmt.Sprintf("%s: partition %d, sequences %d to %d, at most %d alerts", RuleLost, g.Partition, g.First, g.Last, g.Messages),
		Fields: map[string]string{
			"falconer.partition": strconv.Itoa(g.Partition), "falconer.first_seq": number(g.First),
			"falconer.last_seq": number(g.Last), "falconer.at_most": number(g.Messages), fieldLost: number(g.First) + "-" + number(g.Last),
		},
	}
}

// Lost folds the news of a gap into an incident of its own, one a partition. It
// takes no part in the sums of alerts. It returns false, and has done nothing,
// when room ran out: Take then, and tell it again.
func (l *Ledger) Lost(g Gap, room int) bool {
	if !l.Settle(g.Time, room) || l.Pending()+perAlert > room {
		return false
	}
	a := g.alert()
	e := &examined{alert: a, hash: eventHash(a)}
	e.identity, e.severity = l.classify(a)
	e.identity.Fields = []string{"falconer.partition"}
	e.fingerprint, e.values = identify(a, e.identity)
	m := &Message{Seq: g.First, Time: g.Time, Data: []byte(a.Output), digest: e.digest()}
	l.enter(m, l.incidents[string(e.fingerprint[:])], e)
	l.cur.Totals.Gaps++
	l.cur.Totals.Lost += g.Messages
	return true
}

// classify asks the book about news of Falconer's own, which no playbook that
// fails may hide.
func (l *Ledger) classify(a *Alert) (id Identity, severity Severity) {
	defer func() {
		if recover() != nil {
			id, severity = Identity{}, CriticalSeverity
		}
	}()
	return l.opts.Book.Identity(a), l.opts.Book.Grade(a)
}
