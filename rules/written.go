package rules

import (
	"os"
	"slices"
	"strings"
)

// Written is a playbook or shared mitigation as its file has it.
type Written struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Layer string `json:"layer"`
	File  string `json:"file"`
	Line  int    `json:"line"`
	// Text is YAML that loads by itself.
	Text string `json:"text"`
}

// Written returns the playbook or shared mitigation with the id as it is written,
// comments included: what somebody begins with who wants it otherwise.
func (b *Book) Written(id string) (Written, bool, error) {
	if p := b.playbook(id); p != nil {
		w := Written{ID: p.ID, Title: p.Title, Layer: p.layer, File: p.file, Line: p.line}
		text, err := b.sourceOf(p).entry(p.line)
		w.Text = "playbooks:\n" + text
		return w, true, err
	}
	list := b.Mitigations()
	i := slices.IndexFunc(list, func(w Written) bool { return w.ID == id })
	if i < 0 {
		return Written{}, false, nil
	}
	w := list[i]
	s := b.sources[slices.IndexFunc(b.sources, func(s *source) bool { return s.name == w.File && s.layer == w.Layer })]
	text, err := s.entry(w.Line)
	w.Text = "mitigations:\n" + text
	return w, true, err
}

// Mitigations lists the shared mitigations in use by id, without their text.
func (b *Book) Mitigations() (out []Written) {
	for _, s := range b.sources {
		for i := range s.Mitigations {
			if m := &s.Mitigations[i]; b.shared[m.ID] != nil && b.shared[m.ID].Mitigation == m {
				out = append(out, Written{ID: m.ID, Title: m.Title, Layer: s.layer, File: s.name, Line: s.lines[m]})
			}
		}
	}
	slices.SortFunc(out, func(a, b Written) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// entry returns the item of a list that begins in the line, up to the next one.
func (s *source) entry(line int) (string, error) {
	read := os.ReadFile
	if s.layer == builtinLayer {
		read = builtinFiles.ReadFile
	}
	data, err := read(s.name)
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return string(data), nil
	}
	lines = lines[line-1:]
	dash := strings.IndexByte(lines[0], '-')
	end := 1
	for end < len(lines) && inside(lines[end], dash) {
		end++
	}
	for end > 1 && outside(lines[end-1], dash) {
		end--
	}
	return strings.Join(lines[:end], "\n") + "\n", nil
}

// inside reports whether a line may belong to an item whose dash stands in the column.
func inside(line string, dash int) bool {
	text := strings.TrimLeft(line, " ")
	return text == "" || text[0] == '#' || len(line)-len(text) > dash
}

// outside reports whether a line at the end of an item is about what follows it.
func outside(line string, dash int) bool {
	text := strings.TrimLeft(line, " ")
	return text == "" || text[0] == '#' && len(line)-len(text) <= dash
}
