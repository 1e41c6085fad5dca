package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"falconer/processor"
)

//go:embed playbooks/*.yaml
var builtinFiles embed.FS

// The layers of playbooks. The user's go before the built-in ones.
const (
	builtinLayer = "built-in"
	userLayer    = "user"
)

// Builtin returns the book of the playbooks that are built into the program.
func Builtin() (*Book, error) { return Load() }

// Load returns the book of the built-in playbooks and of those in dirs, whose
// files end in .yaml or .yml. A playbook or shared mitigation of the user takes
// the place of the built-in one with the same id; otherwise the order is: user
// rule, user tag, built-in rule, built-in tag or technique, source, priority.
//
// Everything that is wrong in any file is reported together, as a join of
// Problems with file and line. There is no book then.
func Load(dirs ...string) (*Book, error) {
	book, err := loadAll(dirs)
	if err != nil {
		return nil, err
	}
	return book, nil
}

// loadAll returns a book of what is sound even when there are errors.
func loadAll(dirs []string) (*Book, error) {
	l := &loader{}
	l.read(builtinLayer, "", builtinFiles, "playbooks")
	for _, dir := range dirs {
		l.read(userLayer, dir, os.DirFS(dir), ".")
	}
	return l.book()
}

// loader gathers the files of all layers.
type loader struct {
	sources  []*source
	problems []*Problem
}

// read decodes the playbook files of one directory of fsys, several at a time;
// prefix goes before their names in errors.
func (l *loader) read(layer, prefix string, fsys fs.FS, dir string) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		l.problems = append(l.problems, &Problem{File: filepath.Join(prefix, dir), Text: reason(err)})
		return
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		ext := path.Ext(e.Name())
		return e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml"
	})
	if len(entries) == 0 {
		l.problems = append(l.problems, &Problem{File: filepath.Join(prefix, dir), Text: "there is no playbook in this folder: files end in .yaml or .yml"})
	}
	files := make([]loader, len(entries))
	var all sync.WaitGroup
	for i, e := range entries {
		all.Go(func() { files[i].file(layer, prefix, fsys, path.Join(dir, e.Name())) })
	}
	all.Wait()
	for _, f := range files {
		l.sources, l.problems = append(l.sources, f.sources...), append(l.problems, f.problems...)
	}
}

func (l *loader) file(layer, prefix string, fsys fs.FS, name string) {
	data, err := readLimited(fsys, name)
	if err != nil {
		l.problems = append(l.problems, &Problem{File: filepath.Join(prefix, name), Text: reason(err)})
		return
	}
	l.decode(layer, filepath.Join(prefix, name), data)
}

// reason returns what went wrong without the path, which the Problem has.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

func readLimited(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFile {
		return nil, fmt.Errorf("file of %d bytes; at most %d are read", info.Size(), MaxFile)
	}
	return fs.ReadFile(fsys, name)
}

func (l *loader) decode(layer, name string, data []byte) {
	d := decoder{file: name, lines: map[any]int{}}
	s := &source{name: name, layer: layer, lines: d.lines}
	d.decode(data, &s.File)
	l.problems = append(l.problems, d.problems...)
	l.sources = append(l.sources, s)
}

// book compiles what was read.
func (l *loader) book() (*Book, error) {
	attack, err := LoadAttack()
	if err != nil {
		return nil, err
	}
	c := &compiler{attack: attack, options: conditionOptions(), compiled: map[string]condition{}, problems: l.problems, always: map[string]*extract{}}
	own := c.allLets(l.sources)
	c.sharedMitigations(l.sources)
	b := &Book{attack: attack, sources: l.sources, tagCache: newTagCache(attack), shared: c.shared}
	b.readers = sync.Pool{New: func() any { return newReader() }}
	for _, p := range c.playbooks(l.sources, own) {
		b.add(c, p)
	}
	c.coverage(b)
	return b, join(c.problems)
}

// allLets compiles the lets of every playbook; those of playbooks for all
// alerts are known everywhere.
func (c *compiler) allLets(sources []*source) map[*Playbook]map[string]*extract {
	own := map[*Playbook]map[string]*extract{}
	for _, s := range sources {
		for i := range s.Playbooks {
			p := &s.Playbooks[i]
			c.enter(s, p, nil)
			own[p] = c.lets(p.Let)
			if !p.Match.All {
				continue
			}
			for _, name := range sortedKeys(own[p]) {
				if c.always[name] != nil {
					c.failf(entry{mapAddress(p.Let), name}, "let %q is there for all alerts already", name)
				}
				c.always[name] = own[p][name]
			}
		}
	}
	return own
}

// sharedMitigations compiles the mitigations that playbooks may use. A user's
// takes the place of the built-in one.
func (c *compiler) sharedMitigations(sources []*source) {
	c.shared = map[string]*mitigation{}
	from := map[string]*source{}
	for _, s := range sources {
		for i := range s.Mitigations {
			m := &s.Mitigations[i]
			c.enter(s, m, nil)
			if m.Use != "" || m.Because != "" {
				c.failf(m, "use and because belong into the list of a playbook")
			}
			if first := from[m.ID]; first != nil && first.layer == s.layer {
				c.failf(&m.ID, "shared mitigation %q is there twice; first in %s:%d", m.ID, first.name, first.lines[c.shared[m.ID].Mitigation])
				continue
			}
			from[m.ID] = s
			c.shared[m.ID] = c.mitigation(m)
		}
	}
}

// playbooks compiles all of them, without the built-in ones that the user
// replaces by id.
func (c *compiler) playbooks(sources []*source, lets map[*Playbook]map[string]*extract) []*playbook {
	var all []*playbook
	first := map[string]*playbook{}
	for _, s := range sources {
		for i := range s.Playbooks {
			p := c.playbook(s, &s.Playbooks[i], lets[&s.Playbooks[i]])
			before := first[p.ID]
			if before != nil && before.layer == p.layer {
				c.failf(&p.Playbook.ID, "playbook %q is there twice; first in %s:%d", p.ID, before.file, before.line)
				continue
			}
			all = slices.DeleteFunc(all, func(other *playbook) bool { return other == before })
			first[p.ID] = p
			all = append(all, p)
		}
	}
	return all
}

// coverage makes sure that no alert can be left without a playbook.
func (c *compiler) coverage(b *Book) {
	var open []string
	for p := processor.Emergency; p <= processor.PriorityUnknown; p++ {
		if b.builtin.priorities[p] == nil && b.user.priorities[p] == nil {
			open = append(open, p.String())
			stand(b, p)
		}
	}
	if len(open) > 0 {
		c.problems = append(c.problems, &Problem{File: "playbooks", Text: fmt.Sprintf(
			"no playbook matches the priorities %s: an alert that no other playbook is for would be left without one", strings.Join(open, ", "))})
	}
}

// stand puts an empty playbook where one is missing, so that a book with errors
// can still run the examples of what is sound.
func stand(b *Book, p processor.Priority) {
	if b.builtin.priorities == nil {
		b.builtin.priorities = map[processor.Priority]*playbook{}
	}
	b.builtin.priorities[p] = &playbook{Playbook: &Playbook{ID: "none"}, label: "none@0", scope: &scope{}}
}
