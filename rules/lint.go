package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"falconer/processor"
)

// Finding is something that is wrong with a playbook, or that its writer may
// have forgotten.
type Finding struct {
	File string `json:"file"`
	Line int    `json:"line"`
	// Level is error, for what Load refuses, or warning.
	Level   string `json:"level"`
	Message string `json:"message"`
}

// String returns "file:line: level: message".
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Level, f.Message)
}

// Lint looks at the playbooks in dirs, or at the built-in ones when there are
// none. It reports what Load refuses as errors, and what a reader of the reports
// would miss as warnings, by file and line.
func Lint(dirs ...string) []Finding {
	book, err := loadAll(dirs)
	var found []Finding
	for _, p := range Problems(err) {
		found = append(found, Finding{File: p.File, Line: p.Line, Level: "error", Message: p.Text})
	}
	if book == nil {
		return found
	}
	layer := builtinLayer
	if len(dirs) > 0 {
		layer = userLayer
	}
	l := &linter{
		book: book, layer: layer, prose: map[string]said{}, users: map[string][]*playbook{}, seen: book.seen(),
		categories: book.categories(), sound: err == nil, trials: map[*config]*trial{},
		matching: map[*playbook][]*processor.Alert{},
	}
	l.run()
	found = append(found, l.found...)
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return slices.Compact(found)
}

// linter gathers the warnings about one layer of a book.
type linter struct {
	book  *Book
	layer string
	found []Finding
	file  *source
	line  int
	// prose remembers where a sentence was seen.
	prose map[string]said
	// users are the playbooks that use a shared mitigation.
	users map[string][]*playbook
	// seen are the names that have a value in some example of the book.
	seen map[string]bool
	// categories are the words that playbooks route by.
	categories []string
	// matching are the alerts of the examples that must match, alerts those of all.
	matching map[*playbook][]*processor.Alert
	alerts   []*processor.Alert
	// sound is whether Load found no fault: what has one cannot be filled.
	sound bool
	// trials are what became of configuration in the examples.
	trials map[*config]*trial
}

func (l *linter) warnf(address any, format string, args ...any) {
	line := l.line
	if at := l.file.lines[address]; at > 0 {
		line = at
	}
	l.found = append(l.found, Finding{File: l.file.name, Line: line, Level: "warning", Message: fmt.Sprintf(format, args...)})
}

func (l *linter) run() {
	for _, p := range l.book.playbooks {
		for _, m := range p.measures {
			l.users[m.entry.Use] = append(l.users[m.entry.Use], p)
		}
		l.matching[p] = p.matching()
		l.alerts = append(l.alerts, l.matching[p]...)
		if l.sound {
			l.try(p)
		}
	}
	for _, p := range l.book.playbooks {
		if p.layer == l.layer {
			l.file, l.line = l.book.sourceOf(p), p.line
			l.playbook(p)
		}
	}
	for _, s := range l.book.sources {
		for i := range s.Mitigations {
			if s.layer == l.layer {
				l.file, l.line = s, s.lines[&s.Mitigations[i]]
				l.shared(&s.Mitigations[i])
			}
		}
	}
}

// seen returns the names that have a value in some example. A name that none
// of hundreds of alerts has is likely misspelt.
func (b *Book) seen() map[string]bool {
	seen := map[string]bool{}
	for _, p := range b.playbooks {
		for i := range p.Examples {
			a, err := p.Examples[i].alert()
			if err != nil {
				continue
			}
			for name := range a.Fields {
				seen[name] = true
			}
			for _, name := range append(alertNames(), processor.DerivedNames()...) {
				seen[name] = true
			}
		}
	}
	return seen
}

// matching returns the alerts of the examples that must match.
func (p *playbook) matching() []*processor.Alert {
	var alerts []*processor.Alert
	for i := range p.Examples {
		if a, err := p.Examples[i].alert(); err == nil && p.Examples[i].Match {
			alerts = append(alerts, a)
		}
	}
	return alerts
}
