package rules

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

const judged = `
playbooks:
  - id: everywhere
    version: 1
    title: Everywhere
    match: {all: true}
    let: {last: {from: [proc.cmdline], match: '(\S+)$'}}
    adjust:
      - {when: 'f("user.uid") == "0"', add: 15, why: root}
      - {when: 'let("last") == "evil"', add: 20, why: an evil end}
      - {when: 'tags[5] == "x"', add: 50, why: never}
    benign:
      - {cause: The event generator., tell: Ask., when: 'f("proc.pname") == "event-generator"', test: true}
  - id: shell
    version: 3
    title: A shell
    match: {rules: [R]}
    category: execution
    identity: {version: 2, fields: [workload], idle: 30m, cap: 2h}
    attack:
      - {id: T1059.004, why: a shell, instead: T1059}
      - {id: T1105, why: it fetches}
    adjust:
      - {when: 'num("user.uid") == 0', add: -5, why: root is usual here}
    benign:
      - {cause: A person., tell: Ask., when: 'num("proc.tty") > 0'}
      - {cause: Anything., tell: Ask.}
    meaning: It ran {let.last}.
    next: Look.
  - id: tactic
    version: 1
    title: A tactic
    match: {rules: [T]}
    category: impact
    attack: [{id: TA0040, why: it destroys}]
    meaning: M
    next: N
`

func TestJudge(t *testing.T) {
	book := bookOf(t, judged)
	a := alert(map[string]string{"user.uid": "0", "proc.cmdline": "sh evil"})
	a.Tags = []string{"T1059", "mitre_execution", "T9999"}
	v := book.Judge(a)
	require.Equal(t, []processor.Contribution{
		{Points: 50, Reason: "Falco priority Warning"},
		{Points: 15, Reason: "root"},
		{Points: 20, Reason: "an evil end"},
		{Points: -5, Reason: "root is usual here"},
	}, v.Why, "priority, then playbooks for all alerts, then the one taken")
	require.Equal(t, 80, v.Score)
	require.Equal(t, processor.CriticalSeverity, v.Severity)
	require.Equal(t, "shell@3", v.Playbook)
	require.Equal(t, "execution", v.Category)
	require.Equal(t, "execution", v.Stage)
	require.Equal(t, []string{"T1059.004", "T1105"}, idsOf(v.Techniques), "instead replaces the tag's")
	require.Equal(t, "playbook", v.Techniques[0].Origin)
	require.Equal(t, "high", v.Confidence)
	require.False(t, v.Test)
	require.Len(t, v.Notes, 2)
	require.Contains(t, v.Notes[0], "T9999")
	require.Contains(t, v.Notes[1], `the condition "tags[5] == \"x\"" could not be evaluated: `, "it does not hold and says so")

	require.Equal(t, processor.Identity{Version: 2, Fields: []string{"workload"}, Idle: 30 * 60e9, Cap: 2 * 3600e9}, book.Identity(a))
}

func idsOf(techniques []processor.Technique) []string {
	var ids []string
	for _, t := range techniques {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestJudgeBenign(t *testing.T) {
	book := bookOf(t, judged)
	for name, row := range map[string]struct {
		fields     map[string]string
		confidence string
		test       bool
	}{
		"nothing harmless is likely":                {nil, "high", false},
		"a likely cause lowers the confidence":      {map[string]string{"proc.tty": "34816"}, "medium", false},
		"a test is a test":                          {map[string]string{"proc.pname": "event-generator"}, "medium", true},
		"two likely causes lower it by one step":    {map[string]string{"proc.pname": "event-generator", "proc.tty": "1"}, "medium", true},
		"a field that is no number is not above 0":  {map[string]string{"proc.tty": "pts/0"}, "high", false},
		"what is absent is not 0, and not the root": {map[string]string{"proc.tty": "0"}, "high", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := book.Judge(alert(row.fields))
			require.Equal(t, row.confidence, v.Confidence)
			require.Equal(t, row.test, v.Test)
			require.Len(t, v.Why, 1)
		})
	}
}

func TestJudgeStage(t *testing.T) {
	book := bookOf(t, judged)
	for name, row := range map[string]struct {
		rule string
		tags []string
		want string
	}{
		"the playbook's tactic goes first":                  {"T", []string{"mitre_execution"}, "impact"},
		"then the tags' tactics, in the kill chain's order": {"x", []string{"mitre_exfiltration", "mitre_discovery"}, "discovery"},
		"then the first technique's":                        {"x", []string{"T1546"}, "persistence"},
		"a tag chooses among a technique's tactics":         {"x", []string{"T1546", "mitre_privilege_escalation"}, "privilege-escalation"},
		"no tags, no stage":                                 {"x", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, row.want, book.Judge(&processor.Alert{Rule: row.rule, Tags: row.tags, Priority: processor.Warning}).Stage)
		})
	}
}

func TestAdviceForAllAlertsShowsOnlyLikelyCauses(t *testing.T) {
	book := bookOf(t, judged)
	require.Len(t, book.Advise(alert(nil)).Benign, 2)
	causes := book.Advise(alert(map[string]string{"proc.pname": "event-generator"})).Benign
	require.Len(t, causes, 3)
	require.Equal(t, "The event generator.", causes[0].Cause.Plain())
	require.True(t, causes[0].Likely)
	require.False(t, causes[1].Likely)
}

func TestBookServesManyGoroutines(t *testing.T) {
	book := bookOf(t, judged)
	wrong := make([]int, 8)
	var wg sync.WaitGroup
	for i := range wrong {
		wg.Go(func() {
			end := []string{"good", "evil"}[i%2]
			a := alert(map[string]string{"proc.cmdline": "sh " + end})
			a.Tags = []string{"T1059", "T9999"}
			for range 200 {
				v := book.Judge(a)
				v.Notes = append(v.Notes, end)
				if len(v.Why) != 1+i%2 || book.Advise(a).Meaning[0].Plain() != "It ran "+end+"." {
					wrong[i]++
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, make([]int, 8), wrong)
}

func TestTagCacheIsBounded(t *testing.T) {
	book := bookOf(t, judged)
	for i := range maxTagLists + 10 {
		book.tagCache.read([]string{string(rune('a' + i%26)), string(rune(0x4e00 + i))})
	}
	require.Len(t, book.tagCache.known, maxTagLists)
	require.NotNil(t, book.tagCache.read([]string{"new"}))
}
