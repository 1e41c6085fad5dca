package rules

import (
	"slices"
	"sync"

	"falconer/processor"
)

// Book is a set of playbooks, made by Load. It is a processor.Book: its methods
// are pure functions of the alert, and any number of goroutines may use it.
type Book struct {
	attack    *Attack
	sources   []*source
	shared    map[string]*mitigation
	playbooks []*playbook
	always    []*playbook
	user      index
	builtin   index
	tagCache  *tagCache
	readers   sync.Pool
}

var _ processor.Book = (*Book)(nil)

func newReader() *reader {
	r := &reader{taken: map[*extract]string{}}
	r.env = r.newEnv()
	return r
}

// read lends a reader of the alert; give it back with done.
func (b *Book) read(a *processor.Alert) *reader {
	r := b.readers.Get().(*reader)
	r.set(a)
	return r
}

func (b *Book) done(r *reader) {
	r.alert, r.scope, r.notes = nil, nil, nil
	b.readers.Put(r)
}

// Attack returns the ATT&CK table that the book was made with.
func (b *Book) Attack() *Attack { return b.attack }

// Identity implements processor.Book.
func (b *Book) Identity(a *processor.Alert) processor.Identity {
	return b.pick(a).identity
}

// tagCache remembers what ReadTags made of the tags of a rule. Tags come with
// every alert and are always the same few lists.
type tagCache struct {
	attack *Attack
	mu     sync.RWMutex
	known  map[string]*TagReading
}

// maxTagLists bounds the cache, since tags are what others send.
const maxTagLists = 4096

func newTagCache(attack *Attack) *tagCache {
	return &tagCache{attack: attack, known: map[string]*TagReading{}}
}

// read is ReadTags. The result is shared: do not change it.
func (c *tagCache) read(tags []string) *TagReading {
	var buffer [512]byte
	key := buffer[:0]
	for _, t := range tags {
		key = append(append(key, t...), 0)
	}
	c.mu.RLock()
	known := c.known[string(key)]
	c.mu.RUnlock()
	if known != nil {
		return known
	}
	read := c.attack.ReadTags(tags)
	known = &read
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) < maxTagLists {
		c.known[string(key)] = known
	}
	return known
}

// Info is what there is to know of a playbook from outside.
type Info struct {
	ID       string `json:"id"`
	Version  int    `json:"version"`
	Title    string `json:"title"`
	Category string `json:"category,omitempty"`
	Match    Match  `json:"match"`
	Layer    string `json:"layer"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Examples int    `json:"examples"`
}

// Playbooks lists the playbooks in use, by layer, file and line. A built-in one
// that the user replaced is not among them.
func (b *Book) Playbooks() []Info {
	out := make([]Info, len(b.playbooks))
	for i, p := range b.playbooks {
		out[i] = p.info()
	}
	return out
}

func (p *playbook) info() Info {
	return Info{
		ID: p.ID, Version: p.Version, Title: p.Title, Category: p.Category,
		Match: p.Match, Layer: p.layer, File: p.file, Line: p.line, Examples: len(p.Examples),
	}
}

// Playbook returns the playbook with the id as it was written, and its file.
func (b *Book) Playbook(id string) (Playbook, Info, bool) {
	p := b.playbook(id)
	if p == nil {
		return Playbook{}, Info{}, false
	}
	return *p.Playbook, p.info(), true
}

// playbook returns the one with the id, or nil.
func (b *Book) playbook(id string) *playbook {
	i := slices.IndexFunc(b.playbooks, func(p *playbook) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return b.playbooks[i]
}
