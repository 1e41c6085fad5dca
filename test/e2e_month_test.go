//go:build unix

package test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/bench"
	"falconer/processor/stream"
	"falconer/rules"
	"falconer/subjects"
)

// The windows of a month whose days take less than a second. A report is kept for some
// two days, and so a dead letter for ten; the server counts such times in whole seconds.
const (
	monthDays      = 30
	monthDay       = 800 * time.Millisecond
	monthIdle      = 350 * time.Millisecond
	monthReopen    = time.Second
	monthRetention = 2 * time.Second
	monthRaw       = 1 << 20 // bytes of alerts, of some nine days
)

// What comes each day: workloads that come every day and such that come every third,
// ten alerts of each; and workloads that were never seen before, five alerts of each.
const (
	monthDaily, monthOften, monthThird = 4, 10, 3
	monthNew, monthNewOften            = 16, 5
)

// What Falconer keeps is bounded by its windows and not by how long it has run: in
// the last week of a month it holds no more than in the second. When alerts stop, all
// goes but the cursors.
//
// The worker is not falconer's own process: that takes no retention below a minute.
func TestAMonthOfLoadStaysBounded(t *testing.T) {
	t.Parallel()
	m := startMonth(t)
	for day := 1; day <= monthDays; day++ {
		m.live(day)
	}
	m.reached("the month is over")
	for _, figure := range monthFigures {
		early, late := m.peak(8, 15, figure.of), m.peak(23, 30, figure.of)
		t.Logf("%-21s at most %8d in days 8 to 15, %8d in days 23 to 30", figure.what, early, late)
		require.Positive(t, early, figure.what)
		require.LessOrEqual(t, late, early+early/4+2, figure.what)
	}
	m.nothingIsLeft()
}

// monthFigures are what must not grow. What stands for forgotten incidents is left
// out: it lasts a minute, whatever the windows, and this month has only half of one.
var monthFigures = []struct {
	what string
	of   func(monthLook) uint64
}{
	{"messages in FALCO", func(l monthLook) uint64 { return l.raw }},
	{"messages in FALCONER", func(l monthLook) uint64 { return l.messages() }},
	{"bytes in FALCONER", monthLook.bytes},
	{"states", func(l monthLook) uint64 { return l.messages(bench.OpenStates, bench.ClosedStates) }},
	{"reports", func(l monthLook) uint64 { return l.messages(bench.Reports) }},
	{"tasks", func(l monthLook) uint64 { return l.messages(bench.Tasks) }},
	{"dead letters", func(l monthLook) uint64 { return l.messages(bench.DeadLetters) }},
}

// month is a system whose windows are short, and what was seen of it.
type month struct {
	*system
	alerts int                 // published
	seen   map[int][]monthLook // by day
}

// monthLook is what the streams hold at one moment.
type monthLook struct {
	held map[bench.Kind]bench.Holding
	raw  uint64 // messages in FALCO
}

// messages are those of the kinds, or of all but what is forgotten.
func (l monthLook) messages(kinds ...bench.Kind) (n uint64) {
	for kind, h := range l.held {
		if kind != bench.Forgotten && (len(kinds) == 0 || slices.Contains(kinds, kind)) {
			n += h.Messages
		}
	}
	return n
}

func (l monthLook) bytes() (n uint64) {
	for kind, h := range l.held {
		if kind != bench.Forgotten {
			n += h.Bytes
		}
	}
	return n
}

func startMonth(t *testing.T) *month {
	t.Helper()
	m := &month{system: &system{t: t, began: time.Now(), rules: writeMonthPlaybooks(t)}, seen: map[int][]monthLook{}}
	m.server = natsServer(t)
	m.connect("nats://" + m.server.says(`Listening for client connections on (\S+)`))
	m.must("setup", "--partitions", "4", "--raw-max-bytes", fmt.Sprint(monthRaw))
	book, err := rules.Load(m.rules)
	require.NoError(t, err)
	log := &capture{}
	w, err := stream.New(t.Context(), stream.Config{
		JS: m.js, Book: book, ID: "month", Reopen: monthReopen, Retention: monthRetention, Log: zerolog.New(log).Level(zerolog.WarnLevel),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		if t.Failed() {
			t.Logf("last warnings of the worker:\n%s", lastLines(unusual(log.String()), 20))
		}
	})
	return m
}

// writeMonthPlaybooks writes the playbooks of the mix with the month's windows, for
// what Falconer may say of itself, too.
func writeMonthPlaybooks(t *testing.T) string {
	t.Helper()
	var names []string
	for n := range mixRules {
		names = append(names, fmt.Sprintf("%q", mixRule(n)))
	}
	text := "playbooks:"
	text += fmt.Sprintf(mixPlaybook, 0, strings.Join(names, ", "), 1, monthIdle, monthDay, "namespace, workload")
	text += fmt.Sprintf(mixPlaybook, 1, fmt.Sprintf("%q", processor.RuleLost), 1, monthIdle, monthDay, "falconer.partition")
	return writeFile(t, "month.yaml", text)
}

// live lets one day pass: its alerts come in its morning, and the streams are looked
// at until its end, and once at least.
func (m *month) live(day int) {
	m.t.Helper()
	over := time.After(monthDay)
	m.publish(day)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if l, ok := m.look(); ok {
			m.seen[day] = append(m.seen[day], l)
		}
		select {
		case <-over:
			return
		case <-again.C:
		}
	}
}

// look is false when what was to be read next has gone meanwhile.
func (m *month) look() (l monthLook, ok bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	raw, err := m.js.Stream(ctx, subjects.RawStream)
	if err != nil {
		return l, false
	}
	l.raw = raw.CachedInfo().State.Msgs
	l.held, err = bench.Held(ctx, m.js)
	return l, err == nil
}

// publish stores the alerts of a day, and a message that is none.
func (m *month) publish(day int) {
	m.t.Helper()
	msgs := []*nats.Msg{monthMessage("falco.notice.text", fmt.Append(nil, "no alert of day ", day), -day)}
	alerts := func(workload, often int) {
		for range often {
			m.alerts++
			msgs = append(msgs, monthAlert(m.alerts, workload))
		}
	}
	for w := range monthDaily {
		alerts(w, monthOften)
		alerts(monthDaily*(1+day%monthThird)+w, monthOften)
	}
	for w := range monthNew {
		alerts(100+day*monthNew+w, monthNewOften)
	}
	until(m.t, time.Minute, "acknowledgements", func() bool {
		msgs = m.publisher(load{}).send(msgs)
		return len(msgs) == 0
	})
}

// monthAlert is the i-th alert, of that workload.
func monthAlert(i, workload int) *nats.Msg {
	rule, name := mixRule(workload%mixRules), fmt.Sprintf("month-%04d", workload)
	when := fmt.Sprintf(`"time":%q,`, loadBegan.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
	command := fmt.Sprintf("tool --number %d", i)
	return monthMessage("falco.notice."+slug(rule), fmt.Appendf(nil, mixAlert, 0, i, i, "Notice", rule, when,
		workload, name, 1, name+"-7c9d8f6b5c-x2k4p", command, "user", i%12), i)
}

// monthMessage is stored once however often it is sent.
func monthMessage(subject string, data []byte, number int) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = data
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("month-%d", number))
	return msg
}

// peak is the most that was seen from day to day.
func (m *month) peak(from, to int, of func(monthLook) uint64) (most uint64) {
	m.t.Helper()
	for day := from; day <= to; day++ {
		require.NotEmpty(m.t, m.seen[day], "nobody has looked at day %d", day)
		for _, l := range m.seen[day] {
			most = max(most, of(l))
		}
	}
	return most
}

// nothingIsLeft waits until all windows are over. Only the cursors stay. The empty
// message for each incident that was forgotten goes after a minute; FALCONER_LONG=1
// waits for that.
func (m *month) nothingIsLeft() {
	m.t.Helper()
	var last monthLook
	left := func(besides ...bench.Kind) func() bool {
		return func() bool {
			l, ok := m.look()
			if !ok {
				return false
			}
			last = l
			for kind := range l.held {
				if kind != bench.Cursors && !slices.Contains(besides, kind) {
					return false
				}
			}
			return true
		}
	}
	m.t.Cleanup(func() { m.t.Logf("held at the end: %v", last.held) })
	until(m.t, 30*time.Second, "all to go but cursors and what is forgotten", left(bench.Forgotten))
	m.reached("nothing is left")
	st := m.status()
	require.Equal(m.t, m.alerts+monthDays, st.Totals.In)
	require.Equal(m.t, monthDays, st.Totals.Dead)
	require.GreaterOrEqual(m.t, st.Totals.Opened, monthDays*(2*monthDaily+monthNew))
	require.Equal(m.t, st.Totals.Opened, st.Totals.Closed)
	forgotten, err := readAll(m.js, subjects.OutputStream, subjects.States)
	require.NoError(m.t, err)
	for _, f := range forgotten {
		require.Equal(m.t, "1m", f.Headers().Get("Nats-TTL"), f.Subject())
	}
	if os.Getenv("FALCONER_LONG") == "1" {
		until(m.t, 90*time.Second, "all to go but cursors", left())
		m.reached("what was forgotten has gone, too")
	}
	require.EqualValues(m.t, 4, last.held[bench.Cursors].Messages)
}
