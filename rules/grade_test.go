package rules

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

// untranslated is the built-in book with every condition left to expr's machine.
var untranslated = sync.OnceValues(func() (*Book, error) {
	b, err := loadAll(nil)
	if err == nil {
		options := conditionOptions()
		b.eachWhen(func(c *condition) {
			if c.quick == nil {
				return
			}
			var failed error
			c.quick = nil
			c.program, failed = compileProgram(c.source, options)
			err = errors.Join(err, failed)
		})
	}
	return b, err
})

func (b *Book) eachWhen(do func(*condition)) {
	each := func(c *condition) {
		if c != nil {
			do(c)
		}
	}
	for _, p := range b.playbooks {
		for i := range p.adjust {
			each(p.adjust[i].when)
		}
		for i := range p.causes {
			each(p.causes[i].when)
		}
		for i := range p.also {
			each(p.also[i].when)
		}
		for _, q := range p.asks {
			for i := range q.answers {
				each(q.answers[i].when)
			}
		}
		for _, m := range p.measures {
			each(m.when)
			m.eachCondition(each)
		}
	}
}

// requireAgreement holds Grade against Judge, and Judge with translated conditions
// against Judge without.
func requireAgreement(t *testing.T, book *Book, a *processor.Alert) {
	t.Helper()
	plain, err := untranslated()
	require.NoError(t, err)
	v, want := book.Judge(a), plain.Judge(a)
	if got := book.Grade(a); got != v.Severity || v.Severity != want.Severity || !slices.Equal(v.Why, want.Why) || v.Test != want.Test || v.Confidence != want.Confidence {
		require.Equal(t, want, v, "%+v", a)
		require.Equal(t, v.Severity, got, "%+v", a)
	}
}

func exampleAlerts(t *testing.T, book *Book) (out []*processor.Alert) {
	t.Helper()
	for _, p := range book.playbooks {
		for i := range p.Examples {
			a, err := processor.Decode(rawJSON(p.Examples[i].Alert))
			require.NoError(t, err)
			out = append(out, a)
		}
	}
	return out
}

func TestMostConditionsAreTranslated(t *testing.T) {
	all, left := 0, map[string]bool{}
	builtin(t).eachWhen(func(c *condition) {
		all++
		if c.quick == nil {
			left[c.source] = true
		}
	})
	require.LessOrEqual(t, len(left), 5, "of %d: %v", all, sortedKeys(left))
}

func TestGradeIsTheSeverityThatJudgeGives(t *testing.T) {
	book := builtin(t)
	plain, err := untranslated()
	require.NoError(t, err)
	n := 0
	for _, a := range exampleAlerts(t, book) {
		requireAgreement(t, book, a)
		require.Equal(t, plain.Judge(a), book.Judge(a))
		require.Equal(t, plain.Advise(a), book.Advise(a))
		require.Equal(t, plain.take(a, plain.tagCache.read(a.Tags)).identity, book.Identity(a))
		n++
		for _, field := range sortedKeys(a.Fields) {
			less := *a
			less.Fields = maps.Clone(a.Fields)
			delete(less.Fields, field)
			requireAgreement(t, book, &less)
			n++
		}
		for _, less := range []processor.Alert{
			{Rule: a.Rule, Source: a.Source, Priority: a.Priority, Tags: a.Tags, Fields: a.Fields, Hostname: ""},
			{Rule: "Of ours", Source: a.Source, Priority: a.Priority, Tags: a.Tags, Fields: a.Fields, Hostname: a.Hostname},
			{Rule: "Of ours", Source: a.Source, Priority: a.Priority, Fields: a.Fields, Output: a.Output},
			{Rule: a.Rule, Priority: processor.PriorityUnknown, Fields: a.Fields},
			{Rule: a.Rule, Source: a.Source, Priority: a.Priority, Tags: a.Tags},
		} {
			requireAgreement(t, book, &less)
			n++
		}
	}
	t.Logf("%d alerts", n)
}

func TestGradeIsTheSeverityThatJudgeGivesForHostileValues(t *testing.T) {
	book := builtin(t)
	all := victims(book)
	if underRace {
		all = all[:len(all)/10]
	}
	for n, v := range all {
		t.Run(v.playbook.ID, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(2, uint64(n)))
			for i, field := range append([]string{""}, v.fields...) {
				for round := range 3 {
					if a, err := processor.Decode(v.with(field, payload(rng, n*7+i*31+round*101), round)); err == nil {
						requireAgreement(t, book, a)
					}
				}
			}
		})
	}
}

func TestGradeIsTheSeverityThatJudgeGivesForRealAlerts(t *testing.T) {
	if os.Getenv("FALCONER_CORPUS") == "" {
		t.Skip("FALCONER_CORPUS names no folder with real alerts")
	}
	book := builtin(t)
	all := realAlerts(t)
	for _, a := range all {
		requireAgreement(t, book, a)
	}
	t.Logf("%d alerts", len(all))
}

// A condition that fails does not hold, for Grade as for Judge.
func TestGradeWithAConditionThatFails(t *testing.T) {
	book := bookOf(t, sound+`    adjust:
      - {when: 'tags[7] == "x"', add: 50, why: never}
      - {when: 'not (tags[7] == "x")', add: 50, why: never}
      - {when: 'f("proc.name") == "sh"', add: -50, why: a shell}
`)
	a := usualAlert("R")
	v := book.Judge(a)
	require.Len(t, notesOf(v), 2, "%+v", v)
	require.Equal(t, processor.Info, v.Severity)
	require.Equal(t, processor.Info, book.Grade(a))
}

// A playbook of the user's that is for tags goes before a built-in one for the rule.
func TestGradeTakesThePlaybookThatJudgeTakes(t *testing.T) {
	for name, match := range map[string]string{
		"a tag": "{tags: [shell]}", "a technique": "{tags: [T1059]}", "a tactic": "{tags: [TA0002]}", "the rule": "{rules: [Terminal shell in container]}",
		"another tag": "{tags: [other]}", "the source": "{sources: [syscall]}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ours := strings.Replace(sound, "{rules: [R]}", match, 1) + "    adjust: [{when: 'true', add: 60, why: ours}]\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, "user.yaml"), []byte(ours), 0o600))
			theirs := strings.NewReplacer("[R]", "[Terminal shell in container]", "id: shell", "id: theirs").Replace(sound)
			book, err := readBook(t, map[string]string{"fallback.yaml": fallback, "shell.yaml": theirs}, dir)
			require.NoError(t, err)
			a := usualAlert("Terminal shell in container")
			require.Equal(t, book.take(a, book.tagCache.read(a.Tags)).playbook, book.pick(a))
			require.Equal(t, book.Judge(a).Severity, book.Grade(a))
		})
	}
}

func TestGradeDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector has pools forget")
	}
	book := builtin(t)
	for _, rule := range []string{"Terminal shell in container", "Read sensitive file untrusted", "Of ours"} {
		a := usualAlert(rule)
		require.Zero(t, testing.AllocsPerRun(1000, func() { book.Grade(a) }), rule)
		require.Zero(t, testing.AllocsPerRun(1000, func() { book.Identity(a) }), rule)
	}
}

func TestGradeAtOnce(t *testing.T) {
	book := builtin(t)
	alerts := exampleAlerts(t, book)
	want := make([]processor.Severity, len(alerts))
	for i, a := range alerts {
		want[i] = book.Judge(a).Severity
	}
	var wg sync.WaitGroup
	for start := range 8 {
		wg.Go(func() {
			for i := start; i < len(alerts); i += 3 {
				if got := book.Grade(alerts[i]); got != want[i] {
					t.Errorf("%s: graded %s, judged %s", alerts[i].Rule, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}

func TestClues(t *testing.T) {
	for pattern, want := range map[string][]string{
		"curl |wget ":            {"curl ", "wget "},
		"(^|[ /])(apt|dnf)( |$)": {"apt", "dnf"},
		"^/etc/(shadow|passwd)$": {"shadow", "passwd"},
		"a(bc)+":                 {"bc"},
		"(abc){2,}x":             {"abc"},
		"(abc)*":                 nil,
		"abc|x*":                 nil,
		"(?i)abc":                nil,
		"^E[A-Z]+$":              {"E"},
		"":                       nil,
		"[a-z]+":                 nil,
		"x\uFFFD":                nil,
	} {
		var found []string
		for _, c := range needed(regexp.MustCompile(pattern)) {
			found = append(found, string(c))
		}
		require.ElementsMatch(t, want, found, pattern)
	}
}

func FuzzGrade(f *testing.F) {
	book := builtin(f)
	_, err := untranslated() // which takes longer than a fuzzer lets one value take
	require.NoError(f, err)
	all := victims(book)
	for i, family := range families {
		for j, s := range payloads[family] {
			f.Add(uint16(i*100+j), uint8(j), s)
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, how uint8, value string) {
		v := all[int(n)%len(all)]
		for _, field := range append([]string{""}, v.fields...) {
			if a, err := processor.Decode(v.with(field, value, int(how))); err == nil {
				requireAgreement(t, book, a)
			}
		}
	})
}

// FuzzTranslation holds what conditions are translated into against expr's machine.
func FuzzTranslation(f *testing.F) {
	builtin(f).eachWhen(func(c *condition) { f.Add(c.source, "x", "1") })
	for _, s := range []string{`f("a") + "\xff" matches "\uFFFD"`, `lower(f("a") + f("b")) + f("a") contains "x"`, `num("a") in 1..3`, `-num("a") < 2`, `not (f("a") in ["x"])`} {
		f.Add(s, "\xff", "2")
	}
	options := conditionOptions()
	scope := &scope{all: map[string]*extract{"x": {from: []string{"a", "b"}, match: regexp.MustCompile("(.)")}}}
	f.Fuzz(func(t *testing.T, source, a, b string) {
		c, err := compileCondition(source, options)
		if err != nil || c.quick == nil {
			return
		}
		r := newReader()
		alert := &processor.Alert{Rule: a, Source: b, Hostname: a, Output: b, Fields: map[string]string{"a": a, "b": b, "c": a}}
		for _, name := range c.asked {
			alert.Fields[name] = a
		}
		r.set(alert)
		r.scope = scope
		program, err := compileProgram(source, options)
		require.NoError(t, err)
		want, err := (&condition{source: source, program: program}).eval(r)
		require.NoError(t, err, "a translation cannot fail: %s", source)
		require.Equal(t, want, c.quick(r), source)
	})
}
