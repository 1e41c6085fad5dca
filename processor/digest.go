package processor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"
)

// digest is what folding has to know of every alert. Of nearly all nothing else is
// needed: they repeat what an open incident knows, and make no report.
type digest struct {
	made        bool
	fingerprint fingerprint
	hash        uint64
	time        time.Time
	severity    Severity
	seen        seen
	heartbeat   bool
	// whole is the alert with all that is known of it, if it was looked at that
	// closely already; err says why it could not be.
	whole *examined
	err   error
}

// seen are the values of an alert that an incident lists, by the kinds of seenKinds.
type seen [len(seenKinds)]string

var seenKinds = [...]string{"host", "pod", "image", "user"}

// Prepare does ahead of Fold what does not depend on other alerts. It changes
// nothing but the time that Fold takes. Any number of goroutines may call it for
// ledgers with these options; the message's data must not change any more.
func (o Options) Prepare(m *Message) {
	if m.Kind == AlertMessage && !m.digest.made {
		m.digest = o.withDefaults().digest(m.Data)
	}
}

// scratch is what making a digest needs, to be used again.
type scratch struct {
	scanner scanner
	alert   Alert
	buffer  []byte
	values  []field // of the identity
	words   words
}

var scratches = sync.Pool{New: func() any {
	return &scratch{alert: Alert{Fields: map[string]string{}}, words: words{}}
}}

func (o Options) digest(data []byte) digest {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if d, ok := o.quick(s, data); ok {
		return d
	}
	e, err := o.examine(data)
	if err != nil {
		return digest{made: true, err: err}
	}
	return e.digest()
}

// quick makes the digest of an alert that is plain and has nothing to hide. It
// leaves all others, and what a faulty playbook does, to examine.
func (o Options) quick(s *scratch, data []byte) (d digest, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	a := &s.alert
	if !s.scanner.scan(alias(data), a) || a.Rule == RuleDrops || !s.harmless(o.Redaction.Level) {
		return d, false
	}
	d = digest{made: true, time: a.Time, heartbeat: a.Heartbeat()}
	if d.heartbeat {
		return d, true
	}
	s.buffer, d.hash = hashEvent(s.buffer[:0], a, s.scanner.list)
	id := o.Book.Identity(a)
	s.values = identityValues(s.values[:0], a, id)
	s.buffer, d.fingerprint = fingerprintOf(s.buffer[:0], a, id.Version, s.values)
	d.severity = o.Book.Grade(a)
	d.seen = seenOf(a, s.words)
	return d, true
}

// harmless reports whether redaction would surely change nothing.
func (s *scratch) harmless(level RedactionLevel) bool {
	switch level {
	case RedactOff:
		return true
	case RedactStandard:
	default:
		return false
	}
	for _, f := range s.scanner.list {
		if holdsEnvironment(f.name) || !harmless(f.value) {
			return false
		}
	}
	return harmless(s.alert.Output)
}

// words are strings that come again and again. They are kept once each, and not in
// the memory of the alert that they came with.
type words map[string]string

const maxWords = 8192

func (w words) keep(v string) string {
	if known, ok := w[v]; ok {
		return known
	}
	if len(w) >= maxWords {
		clear(w)
	}
	v = strings.Clone(v)
	w[v] = v
	return v
}

// examined is an alert with all that is known of it before any state changes.
type examined struct {
	alert       *Alert
	identity    Identity
	values      map[string]string
	fingerprint fingerprint
	hash        uint64
	severity    Severity
}

// caught makes an error of a panic, which a hostile alert or a faulty playbook may
// bring about. It is deferred.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("analysis panicked: %v", p)
	}
}

// examine looks closely at an alert of which nothing is known.
func (o Options) examine(data []byte) (e *examined, err error) {
	defer caught(&err)
	e = &examined{}
	if e.alert, err = Decode(data); err != nil || e.alert.Heartbeat() {
		return e, err
	}
	e.hash = eventHash(e.alert)
	e.identity = o.Book.Identity(e.alert)
	e.fingerprint, e.values = identify(e.alert, e.identity)
	e.redact(o.Redaction.Level)
	e.severity = o.Book.Grade(e.alert)
	return e, nil
}

// unfold looks closely at an alert of which quick has made a digest: that stands, and
// there is nothing to hide.
func (o Options) unfold(d *digest, data []byte) (e *examined, err error) {
	defer caught(&err)
	e = &examined{fingerprint: d.fingerprint, hash: d.hash, severity: d.severity}
	if e.alert, err = Decode(data); err != nil {
		return e, err
	}
	e.identity = o.Book.Identity(e.alert)
	e.values = valuesOf(identityValues(nil, e.alert, e.identity))
	return e, nil
}

// search has secrets looked for that an incident would keep or a report show.
func (o Options) search(e *examined) (err error) {
	defer caught(&err)
	if o.Redaction.Find == nil || o.Redaction.Level == RedactOff {
		return nil
	}
	if found := e.alert.secrets(o.Redaction.Find); len(found) > 0 {
		e.redact(o.Redaction.Level, found...)
		e.severity = o.Book.Grade(e.alert) // as it will be judged for the report
	}
	return nil
}

// redact hides secrets in the alert and in the values of its identity. The
// fingerprint was made before: it shows nothing.
func (e *examined) redact(level RedactionLevel, found ...string) {
	e.alert.redact(level, found...)
	for name, v := range e.values {
		if shown := hideField(level, name, v, found); shown != v {
			e.values[name] = shown
		}
	}
}

// digest is that of an alert which was looked at closely.
func (e *examined) digest() digest {
	return digest{
		made: true, whole: e, fingerprint: e.fingerprint, hash: e.hash, time: e.alert.Time,
		severity: e.severity, heartbeat: e.alert.Heartbeat(),
	}
}

// seenOf are the values of the alert that its incident lists.
func seenOf(a *Alert, w words) (out seen) {
	for i, kind := range seenKinds {
		if v, ok := Derive(a, kind); ok {
			out[i] = w.keep(shorten(v, maxSampleB))
		}
	}
	return out
}

// hashEvent appends to b what tells an event from others, and returns its hash.
// Fields come in the order of their names.
func hashEvent(b []byte, a *Alert, list []field) ([]byte, uint64) {
	put := func(s string) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	put(a.Hostname)
	put(a.Rule)
	put(a.Source)
	at := len(b)
	b = a.Time.AppendFormat(append(b, "        "...), "2006-01-02 15:04:05.999999999 -0700 MST") // as Time.String
	binary.BigEndian.PutUint64(b[at:], uint64(len(b)-at-8))
	for _, f := range list {
		put(f.name)
		put(f.value)
	}
	sum := sha256.Sum256(b)
	return b, binary.BigEndian.Uint64(sum[:])
}
