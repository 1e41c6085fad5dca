package processor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMatcherCompares(t *testing.T) {
	a, err := Decode(alertJSON(shellRule, epoch, fields{"priority": "Warning", "odd.value": `a "b"` + "\n"}))
	require.NoError(t, err)
	for text, want := range map[string]bool{
		"rule=Terminal shell in container":            true,
		` rule = "Terminal shell in container" `:      true,
		"rule=Terminal":                               false,
		"rule=~Terminal":                              false, // the whole value
		"rule=~Terminal.*":                            true,
		"rule=~nothing|Terminal.*":                    true,
		"rule!=Terminal shell in container":           false,
		"rule!~Terminal.*":                            false,
		"rule!~Netcat.*":                              true,
		`rule="~Terminal.*"`:                          false, // not an expression
		"k8s.ns.name=shop":                            true,
		"namespace=shop":                              true,
		"workload=web":                                true,
		"priority=WARNING":                            true,
		"severity!=HIGH":                              false,
		"priority=Warning":                            true,
		"severity=~high|critical":                     true,
		"severity=low":                                false,
		"source=syscall":                              true,
		"hostname=node-1":                             true,
		"tag=container":                               true,
		"tag=host":                                    false,
		"tag!=host":                                   true,
		"tag!=container":                              false, // none may
		"no.such.field=":                              true,
		"no.such.field!=x":                            true,
		"no.such.field=~.+":                           false,
		"odd.value=~(?s).*":                           true,
		`odd.value="a \"b\"\n"`:                       true,
		`odd.value=~a .b.` + "\n":                     false, // spaces around the value are cut
		"proc.cmdline=~.*" + strings.Repeat("x", 300): false,
	} {
		m, err := ParseMatcher(text)
		require.NoError(t, err, text)
		require.Equal(t, want, m.matches(a, High), text)
		again, err := ParseMatcher(m.String())
		require.NoError(t, err, "%s became %s", text, m)
		require.Equal(t, [3]string{m.Name, m.Op, m.Value}, [3]string{again.Name, again.Op, again.Value}, text)
	}
}

func TestMatcherRefusesWhatIsNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "is no matcher: want NAME=VALUE",
		"rule":                             "is no matcher",
		"=x":                               "is no matcher",
		"rule==x":                          "", // the value "=x"
		"rule=~(":                          "missing closing )",
		`rule="x`:                          "is not a JSON string",
		"rule=" + strings.Repeat("x", 600): "at most 512",
		"Rule=x":                           `did you mean "rule"`,
		"Namespace=x":                      `did you mean "namespace"`,
		"priority=notic":                   "want one of Emergency, Alert",
		"severity=none":                    "want one of critical, high",
		"ru le=x":                          "is no matcher",
		"$(id)=x":                          "is no matcher",
	} {
		_, err := ParseMatcher(text)
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzMatcher(f *testing.F) {
	for _, text := range []string{"rule=x", `a.b[2]!~"q\n"`, "tag=~(a|b)+", "=", "x=\"", "rule=\xff"} {
		f.Add(text)
	}
	a, err := Decode(alertJSON(shellRule, epoch, nil))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatcher(text)
		if err != nil {
			return
		}
		// JSON writes what is not UTF-8 as U+FFFD; orders are JSON, so such a
		// matcher never reaches a ledger as it was.
		again, err := ParseMatcher(strings.ToValidUTF8(m.String(), "\ufffd"))
		if err != nil {
			require.ErrorContains(t, err, "at most", "%q became %q", text, m)
			return
		}
		if strings.ToValidUTF8(text, "") == text {
			require.Equal(t, m.matches(a, High), again.matches(a, High), "%q became %q", text, m)
		}
	})
}

func TestASilenceForEverythingIsRefused(t *testing.T) {
	for _, row := range []struct {
		matchers []string
		ok       bool
	}{
		{[]string{"rule=~.*"}, false},
		{[]string{"k8s.ns.name!=kube-system"}, false},
		{[]string{"no.such.field="}, false},
		{[]string{"tag!~x", "rule=~.*"}, false},
		{nil, false},
		{[]string{"rule=~.+"}, false},
		{[]string{"rule!="}, false},
		{[]string{"rule=~.+", "severity=low"}, true},
		{[]string{"k8s.ns.name!=kube-system", "rule=x"}, true},
		{strings.Split(strings.Repeat("rule=x ", 9)[:62], " "), false},
	} {
		var list []Matcher
		for _, text := range row.matchers {
			m, err := ParseMatcher(text)
			require.NoError(t, err)
			list = append(list, m)
		}
		_, err := NewSilence(list, "me", "because", epoch)
		require.Equal(t, row.ok, err == nil, "%q: %v", row.matchers, err)
	}
}

// silences sends an order and returns the list that is to be stored.
func (f *feed) order(after time.Duration, order string) Silences {
	f.seq++
	f.fold(Message{Seq: f.seq, Time: epoch.Add(after), Kind: SilenceMessage, Data: []byte(order)})
	require.NotNil(f.t, f.got.Silences)
	return *f.got.Silences
}

const quietShells = `{"schema":"silence.v1","add":{"id":"%s","matchers":["rule=Terminal shell in container"],"author":"me","reason":"a test","until":"%s"}}`

func quiet(id string, lasts time.Duration) string {
	return fmt.Sprintf(quietShells, id, epoch.Add(lasts).Format(time.RFC3339Nano))
}

func TestLedgerKeepsSilencedAlertsQuiet(t *testing.T) {
	f := newFeed(t)
	f.order(0, quiet("00000001", 30*time.Minute))
	require.Nil(t, f.shell(time.Minute, fields{"priority": "Alert"}))
	require.Nil(t, f.shell(2*time.Minute, nil))
	require.Empty(t, f.Snapshot(), "nobody has heard of the incident yet")
	require.Equal(t, []string{"opened"}, f.shell(30*time.Minute, nil), "the silence is over to the nanosecond")
	r := f.last()
	require.EqualValues(t, 1, r.Occurrences.Count)
	require.EqualValues(t, 2, r.Occurrences.Silenced)
	require.Equal(t, "Notice", r.Priority.String(), "what was silenced is no evidence")
	require.Contains(t, r.Summary.Plain(), "A silence kept 2 more from counting.")
	require.Contains(t, r.Markdown, "**Silenced**: 2")
	sum := f.Cursor().Totals
	require.EqualValues(t, 2, sum.Silenced)
	require.True(t, sum.Balanced(), "%+v", sum)
}

func TestLedgerSilenceProlongsAnIncidentAndDoesNotEscalateIt(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	f.order(time.Minute, quiet("00000001", 5*time.Hour))
	require.Nil(t, f.shell(50*time.Minute, fields{"priority": "Alert"}))
	require.Nil(t, f.shell(100*time.Minute, nil))
	require.Equal(t, []string{"closed"}, f.tick(160*time.Minute))
	require.EqualValues(t, 1, f.last().Occurrences.Count)
	require.EqualValues(t, 2, f.last().Occurrences.Silenced)
}

func TestLedgerNamesAsPreviousOnlyWhatWasReported(t *testing.T) {
	f := newFeed(t)
	f.shell(0, nil)
	first := f.last().Incident
	f.tick(61 * time.Minute)
	f.order(62*time.Minute, quiet("00000001", 90*time.Minute))
	require.Nil(t, f.shell(63*time.Minute, nil), "an incident that is silent from beginning to end")
	require.Nil(t, f.tick(2*time.Hour+4*time.Minute), "closes silently")
	require.Equal(t, []string{"opened"}, f.shell(2*time.Hour+5*time.Minute, nil))
	require.Equal(t, first, f.last().Previous)
}

func TestLedgerFollowsOrders(t *testing.T) {
	f := newFeed(t)
	list := f.order(0, quiet("00000001", time.Hour))
	require.Len(t, list.List, 1)
	require.EqualValues(t, 1, list.List[0].Seq)

	list = f.order(time.Minute, quiet("00000001", 2*time.Hour))
	require.Equal(t, epoch.Add(time.Hour), list.List[0].Until, "a known id changes nothing")

	list = f.order(2*time.Minute, `{"schema":"silence.v1","expire":{"id":"00000001","author":"you","reason":"done"}}`)
	require.Equal(t, &Ending{Seq: 3, At: epoch.Add(2 * time.Minute), Author: "you", Reason: "done"}, list.List[0].Ended)
	require.Equal(t, []string{"opened"}, f.shell(3*time.Minute, nil))

	list = f.order(4*time.Minute, quiet("00000001", time.Hour))
	require.NotNil(t, list.List[0].Ended, "what was ended by hand stays ended")

	list = f.order(time.Hour, quiet("00000002", 200*time.Hour))
	require.Len(t, list.List, 2, "what is over is remembered for those who replay")
	list = f.order(time.Hour, quiet("00000001", 100*time.Hour))
	require.Len(t, list.List, 2, "and makes way for another of its id")
	require.Nil(t, list.List[1].Ended)
	list = f.order(101*time.Hour, quiet("00000003", 200*time.Hour))
	require.Len(t, list.List, 3)
	list = f.order(172*time.Hour, quiet("00000004", 200*time.Hour))
	require.Len(t, list.List, 3, "for three days")
	require.Equal(t, "00000002", list.List[0].ID)
}

func TestLedgerRefusesOrdersItCannotFollow(t *testing.T) {
	for order, want := range map[string]string{
		"not json":                "invalid character",
		`{"schema":"silence.v1"}`: "one of add and expire",
		`{"schema":"silence.v2","expire":{"id":"00000001","author":"a","reason":"r"}}`:                   "silence.v2",
		`{"schema":"silence.v1","expire":{"id":"00000001","author":"a","reason":"r"}}`:                   "no silence 00000001",
		`{"schema":"silence.v1","expire":{"id":"../x","author":"a","reason":"r"}}`:                       "eight hex digits",
		`{"schema":"silence.v1","expire":{"id":"00000001","author":"a","reason":"r","by":"x"}}`:          "unknown field",
		strings.Replace(quiet("00000001", time.Hour), "rule=Terminal shell in container", "rule=~.*", 1): "nearly all",
		strings.Replace(quiet("00000001", time.Hour), `"me"`, `""`, 1):                                   "without author",
		quiet("00000001", 0):                "over before it began",
		quiet("00000001", 367*24*time.Hour): "too long",
	} {
		f := newFeed(t)
		list := f.order(0, order)
		require.EqualValues(t, 1, list.Refused, order)
		require.Contains(t, list.Refusal, want, order)
		require.Empty(t, list.List, order)
		require.Equal(t, []string{"opened"}, f.shell(time.Second, nil), order)
	}
}

func TestLedgerBoundsTheListOfSilences(t *testing.T) {
	f := newFeed(t)
	var list Silences
	for i := range maxSilences + 3 {
		s := Silence{ID: fmt.Sprintf("%08x", i), Author: strings.Repeat("a", maxAuthorBytes), Reason: strings.Repeat("r", maxReasonBytes), Until: epoch.Add(time.Hour)}
		for range maxMatchers {
			s.Matchers = append(s.Matchers, Matcher{Name: "rule", Op: "=", Value: strings.Repeat("v", maxMatcherBytes-5)})
		}
		list = f.order(0, string(encode(t, SilenceOrder{Schema: SilenceSchema, Add: &s})))
	}
	require.Len(t, list.List, maxSilences)
	require.EqualValues(t, 3, list.Refused)
	list = f.order(2*time.Hour, quiet("ffffffff", 3*time.Hour))
	require.Len(t, list.List, maxSilences, "one that is over makes way")
	require.EqualValues(t, 3, list.Refused)
	require.Equal(t, "ffffffff", list.List[maxSilences-1].ID)
	data, err := json.Marshal(list)
	require.NoError(t, err)
	require.Less(t, len(data), 1<<20, "the list fits one message")
}
