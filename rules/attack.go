package rules

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"falconer/processor"
)

//go:embed attack.json
var attackTable []byte

// Attack is a table of MITRE ATT&CK Enterprise: what its ids mean today. It is
// read-only, so that any number of goroutines may use one.
type Attack struct {
	version     string
	tactics     []Tactic
	techniques  map[string]techniqueRow
	mitigations map[string]string
	retired     map[string]retiredRow
}

// Tactic is an aim of an attacker, such as persistence.
type Tactic struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Short string `json:"short"`
	URL   string `json:"url"`
}

// TagReading is what the tags of a rule say in terms of ATT&CK.
type TagReading struct {
	// Techniques are the tagged ones that live, retired ids as their
	// replacements, without repeats, in the order of the tags.
	Techniques []processor.Technique
	// Tactics are the tagged ones, without repeats, in the order of the tags and
	// without those that contradict the techniques.
	Tactics []Tactic
	// Notes say what is odd about the tags. They hold no text of a tag beyond
	// letters, digits, dots, dashes and underscores.
	Notes []string
	// disputes are the notes about tactics that the techniques contradict.
	disputes []dispute
}

// dispute is a tactic that is tagged and not believed, and the note that says so.
type dispute struct {
	tactic string // short
	note   string
}

// techniqueRow, mitigationRow and retiredRow are lines of attack.json.
type techniqueRow struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Parent      string   `json:"parent"`
	Tactics     []string `json:"tactics"`
	Mitigations []string `json:"mitigations"`
}

type mitigationRow struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type retiredRow struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	ReplacedBy string `json:"replaced_by"`
}

// Tags that speak of ATT&CK, in lower case: an id with or without words behind
// it, and Falco's names of tactics; and what stands for a dash in such a name.
var (
	idTag     = regexp.MustCompile(`(?s)^(ta?[0-9]{4}(?:\.[0-9]{3})?)(?:[^a-z0-9.].*)?$`)
	tacticTag = regexp.MustCompile(`^mitre_[a-z_-]{2,40}$`)
	spaces    = strings.NewReplacer("_", "-", " ", "-")
)

// LoadAttack parses the table that is built into the program. It takes a
// millisecond or two: load it once and keep it.
func LoadAttack() (*Attack, error) {
	var file struct {
		Version     string          `json:"attack_version"`
		Tactics     []Tactic        `json:"tactics"`
		Mitigations []mitigationRow `json:"mitigations"`
		Techniques  []techniqueRow  `json:"techniques"`
		Retired     []retiredRow    `json:"retired"`
	}
	if err := json.Unmarshal(attackTable, &file); err != nil {
		return nil, fmt.Errorf("reading the built-in ATT&CK table: %w", err)
	}
	for i, t := range file.Tactics {
		file.Tactics[i].URL = attackURL("tactics", t.ID)
	}
	t := &Attack{
		version:     file.Version,
		tactics:     file.Tactics,
		techniques:  byID(file.Techniques, func(r techniqueRow) string { return r.ID }),
		retired:     byID(file.Retired, func(r retiredRow) string { return r.ID }),
		mitigations: make(map[string]string, len(file.Mitigations)),
	}
	for _, m := range file.Mitigations {
		t.mitigations[m.ID] = m.Name
	}
	return t, nil
}

func byID[R any](rows []R, id func(R) string) map[string]R {
	m := make(map[string]R, len(rows))
	for _, r := range rows {
		m[id(r)] = r
	}
	return m
}

func attackURL(kind, id string) string {
	return "https://attack.mitre.org/" + kind + "/" + strings.ReplaceAll(id, ".", "/") + "/"
}

// Version returns the version of ATT&CK that the table was made from.
func (t *Attack) Version() string { return t.version }

// Technique returns a technique by its id in any case. A retired id gives the
// technique that replaced it. Origin is left to the caller.
func (t *Attack) Technique(id string) (processor.Technique, bool) {
	row, ok := t.live(id)
	if !ok {
		return processor.Technique{}, false
	}
	name := row.Name
	if parent, ok := t.techniques[row.Parent]; ok {
		name = parent.Name + ": " + name
	}
	return processor.Technique{
		ID:      row.ID,
		Name:    name,
		URL:     attackURL("techniques", row.ID),
		Tactics: slices.Clone(row.Tactics),
	}, true
}

// live returns the row of a technique, or of the one that replaced it.
func (t *Attack) live(id string) (techniqueRow, bool) {
	id = strings.ToUpper(id)
	if old, ok := t.retired[id]; ok {
		id = old.ReplacedBy
	}
	row, ok := t.techniques[id]
	return row, ok
}

// Tactic returns a tactic by its id ("TA0003"), with or without words behind it
// ("TA0005-defense-evasion"), its short name ("defense-evasion"), its name, or
// Falco's tag ("mitre_defense_evasion"), in any case.
func (t *Attack) Tactic(s string) (Tactic, bool) {
	if tag := attackTag(s); tag != "" {
		return t.tactic(tag)
	}
	return t.tactic(strings.ToLower(s))
}

// tactic is Tactic for what attackTag returns, and for names in lower case.
func (t *Attack) tactic(tag string) (Tactic, bool) {
	short := spaces.Replace(strings.TrimPrefix(tag, "mitre_"))
	for _, tactic := range t.tactics {
		if tactic.ID == tag || tactic.Short == short {
			return tactic, true
		}
	}
	return Tactic{}, false
}

// Mitigation returns an ATT&CK mitigation by its id, such as "M1038".
func (t *Attack) Mitigation(id string) (processor.Reference, bool) {
	id = strings.ToUpper(id)
	name, ok := t.mitigations[id]
	if !ok {
		return processor.Reference{}, false
	}
	return processor.Reference{ID: id, Name: name, URL: attackURL("mitigations", id)}, true
}

// MitigationsOf returns the mitigations that ATT&CK lists for a technique, by
// id. It lists none for many, and a parent's are not its sub-techniques'.
func (t *Attack) MitigationsOf(technique string) []processor.Reference {
	row, _ := t.live(technique)
	var refs []processor.Reference
	for _, id := range row.Mitigations {
		if ref, ok := t.Mitigation(id); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

// ReadTags finds the ATT&CK ids and tactics among the tags of a rule, in any
// case and with words behind an id ("T1562-impair-defenses"). Other tags are
// passed over. A tactic that none of the tagged techniques serves is noted and
// not believed.
func (t *Attack) ReadTags(tags []string) TagReading {
	var r TagReading
	var claims []claim
	for _, raw := range tags {
		tag := attackTag(raw)
		if tag == "" {
			continue
		}
		if tactic, ok := t.tactic(tag); ok {
			claims = append(claims, claim{tag, tactic})
			continue
		}
		if technique, ok := t.Technique(tag); ok {
			r.add(technique)
		}
		r.note(t.trouble(tag))
	}
	r.weigh(claims)
	return r
}

// claim is a tactic and the tag that names it.
type claim struct {
	tag string
	Tactic
}

// attackTag returns what a tag says of ATT&CK, an upper-case id or Falco's
// lower-case name of a tactic, or nothing when it speaks of something else.
func attackTag(tag string) string {
	tag = strings.ToLower(tag)
	if m := idTag.FindStringSubmatch(tag); m != nil {
		return strings.ToUpper(m[1])
	}
	if tacticTag.MatchString(tag) {
		return tag
	}
	return ""
}

// trouble says what is odd about a tag that names no tactic, or nothing.
func (t *Attack) trouble(tag string) string {
	if _, ok := t.techniques[tag]; ok {
		return ""
	}
	old, ok := t.retired[tag]
	if !ok && strings.HasPrefix(tag, "mitre_") {
		return fmt.Sprintf("the tag %s names no tactic of ATT&CK Enterprise %s", tag, t.version)
	}
	if !ok {
		return fmt.Sprintf("the tag %s is no id of ATT&CK Enterprise %s", tag, t.version)
	}
	if now, ok := t.Technique(tag); ok {
		return fmt.Sprintf("%s %s is retired from ATT&CK and replaced by %s %s", old.ID, old.Name, now.ID, now.Name)
	}
	return fmt.Sprintf("%s %s is retired from ATT&CK and nothing replaces it", old.ID, old.Name)
}

func (r *TagReading) add(technique processor.Technique) {
	technique.Origin = "rule tag"
	same := func(other processor.Technique) bool { return other.ID == technique.ID }
	if !slices.ContainsFunc(r.Techniques, same) {
		r.Techniques = append(r.Techniques, technique)
	}
}

func (r *TagReading) note(text string) {
	if text != "" && !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// weigh believes the claims that no technique contradicts. Of two tags that name
// one tactic the first speaks for both.
func (r *TagReading) weigh(claims []claim) {
	var heard []Tactic
	for _, c := range claims {
		if slices.Contains(heard, c.Tactic) {
			continue
		}
		heard = append(heard, c.Tactic)
		if r.contradicts(c.Tactic) {
			note := fmt.Sprintf("the tag %s contradicts %s", c.tag, servants(r.Techniques))
			r.note(note)
			r.disputes = append(r.disputes, dispute{c.Short, note})
			continue
		}
		r.Tactics = append(r.Tactics, c.Tactic)
	}
}

// contradicts reports whether there are techniques and none serves the tactic.
func (r *TagReading) contradicts(tactic Tactic) bool {
	for _, t := range r.Techniques {
		if slices.Contains(t.Tactics, tactic.Short) {
			return false
		}
	}
	return len(r.Techniques) > 0
}

// servants says which tactics the techniques serve.
func servants(techniques []processor.Technique) string {
	said := make([]string, len(techniques))
	for i, t := range techniques {
		said[i] = fmt.Sprintf("%s %s, which serves %s", t.ID, t.Name, enumerate(t.Tactics))
	}
	return strings.Join(said, ", and ")
}

// enumerate joins words as a sentence does: "a, b and c".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
