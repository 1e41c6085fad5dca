package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"falconer/subjects"
)

// right is a subject that Falconer must be allowed to publish to, and a way to
// try it that changes nothing.
type right struct {
	// allow is the pattern for the user's permissions, try a subject within it.
	allow, try string
	body       string
	header     nats.Header
	// mute says that nobody is there who would answer: silence is no refusal.
	mute bool
	// inspects says that the status cannot be read without it.
	inspects bool
}

// attempt is a right and what came of it: nil or the server's error when the
// request came through.
type attempt struct {
	right
	err error
	// stored says that the server took what it had to refuse.
	stored bool
}

// impossible is a stream's name that the server gives to none, and expects with
// every message that tries a right: it must refuse the message, whose permission
// is then proven.
const impossible = "falconer.doctor"

// storing tries a right to publish. Two conditions guard it, neither of which
// can be met: the stream's name and the last sequence of the subject.
func storing(pattern string) right {
	h := nats.Header{}
	h.Set(jetstream.ExpectedStreamHeader, impossible)
	h.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(1<<62, 10))
	return right{allow: pattern, try: strings.NewReplacer("*", "doctor", ">", "doctor").Replace(pattern), header: h}
}

// api tries a right to use the JetStream API, with a body that asks for nothing
// that is there.
func (c *chart) api(pattern, try, body string, inspects bool) right {
	return right{allow: c.asker.prefix + pattern, try: c.asker.prefix + try, body: body, inspects: inspects}
}

// wanted lists what a worker does, and Setup where a stream is missing. The
// consumer that requests name is nobody's.
func (c *chart) wanted() []right {
	nobody := ".doctor-" + nuid.Next()
	members := subjects.BucketStream(subjects.MembersBucket)
	presence := "$KV." + subjects.MembersBucket + ".*"
	if c.asker.prefix != jetstream.DefaultAPIPrefix {
		presence = c.asker.prefix + presence
	}
	out := []right{
		storing(subjects.Cursors), storing(subjects.States), storing(subjects.Silenced), storing(subjects.Reports), storing(subjects.Tasks),
		storing(subjects.Dead), storing(subjects.Ticks), storing(presence),
	}
	for _, s := range []string{subjects.RawStream, subjects.OutputStream} {
		out = append(out,
			c.api("STREAM.MSG.GET."+s, "STREAM.MSG.GET."+s, `{"last_by_subj":"falconer.doctor"}`, true),
			c.api("CONSUMER.CREATE."+s+".>", "CONSUMER.CREATE."+s+nobody, elsewhere, s == subjects.RawStream),
			c.api("CONSUMER.INFO."+s+".*", "CONSUMER.INFO."+s+nobody, "", false),
			right{allow: c.asker.prefix + "CONSUMER.MSG.NEXT." + s + ".*", try: c.asker.prefix + "CONSUMER.MSG.NEXT." + s + nobody, mute: true},
			c.api("CONSUMER.DELETE."+s+".*", "CONSUMER.DELETE."+s+nobody, "", s == subjects.RawStream))
	}
	out = append(out,
		c.api("CONSUMER.CREATE."+members+".>", "CONSUMER.CREATE."+members+nobody+nobody, elsewhere, true),
		c.api("CONSUMER.DELETE."+members+".*", "CONSUMER.DELETE."+members+nobody, "", true),
		c.api("DIRECT.GET."+members+".>", "DIRECT.GET."+members+nobody, "", true),
		right{allow: "$JS.FC." + members + ".>", try: "$JS.FC." + members + nobody + nobody, mute: true})
	for i := range out {
		out[i].mute = out[i].mute || out[i].header != nil && c.missing() > 0
	}
	for name, s := range c.streams {
		out = append(out, c.api("STREAM.INFO."+name, "STREAM.INFO."+name, "", name != c.cfg.Layout.SourceStream))
		if isCode(s.err, jetstream.JSErrCodeStreamNotFound) && name != c.cfg.Layout.SourceStream {
			out = append(out, c.api("STREAM.CREATE."+name, "STREAM.CREATE."+name, `{"name":"elsewhere"}`, false))
		}
	}
	return out
}

// elsewhere asks for a consumer of another stream than the subject names, which
// the server refuses.
const elsewhere = `{"stream_name":"elsewhere","config":{}}`

// tryRights tries all rights at once: what is not answered costs one wait only.
func (c *chart) tryRights(ctx context.Context) {
	rights := c.wanted()
	c.rights = make([]attempt, len(rights))
	together(len(rights), func(i int) {
		r := rights[i]
		m, err := c.asker.ask(ctx, &nats.Msg{Subject: r.try, Data: []byte(r.body), Header: r.header})
		if errors.Is(err, nats.ErrNoResponders) || r.mute && errors.Is(err, context.DeadlineExceeded) {
			err = nil // it came through, and nobody was there
		}
		c.rights[i] = attempt{right: r, err: err, stored: m != nil && r.header != nil && acknowledged(m.Data)}
	})
}

func acknowledged(answer []byte) bool {
	var ack struct {
		Stream string          `json:"stream"`
		Seq    uint64          `json:"seq"`
		Error  json.RawMessage `json:"error"`
	}
	return json.Unmarshal(answer, &ack) == nil && ack.Stream != "" && ack.Seq > 0 && ack.Error == nil
}

// permissions tells what a worker with this user could not do.
func (c *chart) permissions() []Finding {
	var lacks, mute, stored []string
	for _, a := range c.rights {
		switch {
		case errors.Is(a.err, c.asker.inbox):
			return []Finding{wrong(a.err.Error()+", where all answers arrive", "allow the user to subscribe to "+c.asker.inbox.subject)}
		case isLacking(a.err):
			lacks = append(lacks, a.allow)
		case a.err != nil:
			mute = append(mute, a.allow)
		case a.stored:
			stored = append(stored, a.try)
		}
	}
	var out []Finding
	if len(lacks) > 0 {
		slices.Sort(lacks)
		out = append(out, wrong("this user may not publish to "+strings.Join(lacks, ", "),
			`add these to "publish: { allow: [...] }" of the user in the server's configuration (deploy/nats/nats-server.conf has all); if workers have another user, run the doctor as that one`))
	}
	if len(mute) > 0 {
		slices.Sort(mute)
		out = append(out, warn("the server neither answered nor refused "+strings.Join(mute, ", "),
			"run falconer doctor again; if it stays so, the stream behind it has no leader or the server is overloaded: see replicas"))
	}
	if len(stored) > 0 {
		out = append(out, wrong("the server stored a trial message that it had to refuse: "+strings.Join(stored, ", "),
			"report this as a fault of falconer doctor, with the server's version"))
	}
	if len(out) == 0 {
		return ok("this user may do all that a worker does (" + strconv.Itoa(len(c.rights)) + " subjects tried, nothing stored)")
	}
	return out
}
