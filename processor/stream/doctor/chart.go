package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// chart is what the doctor knows. It is filled first and judged then, so that
// the checks are functions of it alone.
type chart struct {
	cfg   Config
	asker *asker

	url, version string
	rtt          time.Duration
	rttErr       error
	account      *jetstream.AccountInfo
	accountErr   error
	streams      map[string]sight
	all          []*jetstream.StreamInfo
	allErr       error
	rights       []attempt
	// ahead is how far this machine's clock is before the broker's, to within unsure.
	ahead, unsure time.Duration

	first, second sample
	heard         int64 // alerts published while observing
	heardErr      error
	unread        map[int]*kept // the oldest unread alert of each partition with a backlog
	dead          int
	newestDead    *processor.DeadLetter
	deadErr       error
	states        listing // of the incidents
	spreadRule    string
}

// sight is what was seen where a stream was looked for.
type sight struct {
	info *jetstream.StreamInfo
	err  error
}

// sample is what moves, at one moment.
type sample struct {
	raw       *jetstream.StreamInfo
	rawErr    error
	status    stream.Status
	statusErr error
	newest    *kept // alert in FALCO
	source    *kept // alert in the source stream
	newestErr error
}

func newChart(cfg Config) *chart {
	return &chart{cfg: cfg, asker: newAsker(cfg.JS), streams: map[string]sight{}, unread: map[int]*kept{}}
}

// fill asks for everything, in the order in which one thing needs another.
func (c *chart) fill(ctx context.Context) {
	c.meet(ctx)
	if c.silent() != nil {
		return
	}
	c.look(ctx)
	c.tryRights(ctx)
	c.all, c.allErr = c.list(ctx)
	c.observe(ctx)
	c.open(ctx)
}

// meet gets to know the server.
func (c *chart) meet(ctx context.Context) {
	nc := c.asker.nc
	c.url, c.version = nc.ConnectedUrlRedacted(), nc.ConnectedServerVersion()
	c.rtt, c.rttErr = nc.RTT()
	c.account, c.accountErr = call[jetstream.AccountInfo](ctx, c.asker, "INFO", "")
}

// ours lists the streams that Setup makes, those of its buckets among them.
func ours() []string {
	return []string{
		subjects.RawStream, subjects.OutputStream,
		subjects.BucketStream(subjects.MembersBucket), subjects.BucketStream(subjects.TasksBucket),
	}
}

// look looks at each stream and bucket by its name.
func (c *chart) look(ctx context.Context) {
	for _, name := range ours() {
		c.streams[name] = c.see(ctx, name, "")
	}
	if raw := c.streams[subjects.RawStream].info; raw != nil && len(raw.Config.Sources) > 0 {
		from := raw.Config.Sources[0]
		c.cfg.Layout.SourceStream = cmp.Or(c.cfg.Layout.SourceStream, from.Name)
		if from.External != nil { // in another account, which this user does not see
			return
		}
	}
	if name := c.cfg.Layout.SourceStream; name != "" {
		c.streams[name] = c.see(ctx, name, "")
	}
}

// see looks at one stream, and compares its server's clock with this machine's.
func (c *chart) see(ctx context.Context, name, request string) sight {
	before := c.cfg.Now()
	info, err := call[jetstream.StreamInfo](ctx, c.asker, "STREAM.INFO."+name, request)
	took := c.cfg.Now().Sub(before)
	if err == nil && !info.TimeStamp.IsZero() && (c.unsure == 0 || took/2 < c.unsure) {
		c.unsure = max(took/2, 1)
		c.ahead = before.Add(took / 2).Sub(info.TimeStamp)
	}
	return sight{info, err}
}

// list asks for all streams of the account, a page at a time.
func (c *chart) list(ctx context.Context) ([]*jetstream.StreamInfo, error) {
	type page struct {
		Total   int                     `json:"total"`
		Streams []*jetstream.StreamInfo `json:"streams"`
	}
	var all []*jetstream.StreamInfo
	for {
		p, err := call[page](ctx, c.asker, "STREAM.LIST", fmt.Sprintf(`{"offset":%d}`, len(all)))
		if err != nil {
			return nil, err
		}
		all = append(all, p.Streams...)
		if len(p.Streams) == 0 || len(all) >= p.Total {
			return all, nil
		}
	}
}

// observe takes two samples, and counts the alerts that are published between
// them: whatever is heard between the two must be stored by the second.
func (c *chart) observe(ctx context.Context) {
	if rawMade(c) != nil {
		return
	}
	c.first = c.sample(ctx)
	var heard atomic.Int64
	sub, err := c.asker.nc.Subscribe(subjects.Alerts, func(*nats.Msg) { heard.Add(1) })
	if err != nil {
		c.heardErr = err
	}
	lacks := lacking{"subscribe to", subjects.Alerts}
	select {
	case <-ctx.Done():
	case <-time.After(c.cfg.Observe):
	}
	select {
	case <-c.asker.refusal(lacks):
		c.heardErr = lacks
	default:
	}
	if sub != nil {
		_ = sub.Unsubscribe()
	}
	c.heard = heard.Load()
	c.second = c.sample(ctx)
}

func (c *chart) sample(ctx context.Context) sample {
	raw := c.see(ctx, subjects.RawStream, "")
	s := sample{raw: raw.info, rawErr: raw.err}
	if s.statusErr = c.mayInspect(); s.statusErr == nil {
		s.status, s.statusErr = stream.Inspect(ctx, c.cfg.JS)
	}
	s.newest, s.newestErr = c.newest(ctx, subjects.RawStream, subjects.Partitioned, subjects.Alerts)
	if name := c.cfg.Layout.SourceStream; name != "" && s.newestErr == nil {
		s.source, _ = c.newest(ctx, name, subjects.Alerts)
	}
	return s
}

// mayInspect tells which right is lacking to read the status, or nil.
func (c *chart) mayInspect() error {
	for _, a := range c.rights {
		if l, refused := errors.AsType[lacking](a.err); refused && a.inspects {
			return l
		}
	}
	return nil
}

// newest returns the newest message that a stream holds of some subjects.
func (c *chart) newest(ctx context.Context, from string, of ...string) (*kept, error) {
	var newest *kept
	for _, subject := range of {
		m, err := c.asker.fetch(ctx, from, fmt.Sprintf(`{"last_by_subj":%q}`, subject))
		if err != nil {
			return nil, err
		}
		if m != nil && (newest == nil || m.Seq > newest.Seq) {
			newest = m
		}
	}
	return newest, nil
}

// open reads what lies behind: the oldest unread alerts, dead letters, and which
// incidents there are.
func (c *chart) open(ctx context.Context) {
	for _, p := range c.second.status.Partitions {
		if p.Lag == 0 || c.second.newestErr != nil {
			continue
		}
		if m := c.oldest(ctx, p.Partition, p.Seq); m != nil {
			c.unread[p.Partition] = m
		}
	}
	if outputStream(c) == nil {
		c.readLetters(ctx)
		c.readStates(ctx)
	}
}

// readLetters counts the dead letters and reads the newest.
func (c *chart) readLetters(ctx context.Context) {
	letters := c.listed(ctx, subjects.DeadLetters)
	if c.dead, c.deadErr = letters.total, letters.err; c.dead == 0 {
		return
	}
	var m *kept
	if m, c.deadErr = c.newest(ctx, subjects.OutputStream, subjects.DeadLetters); m != nil {
		d := &processor.DeadLetter{}
		if c.deadErr = json.Unmarshal(m.Data, d); c.deadErr == nil {
			c.newestDead = d
		}
	}
}

// oldest returns a partition's first alert after a sequence.
func (c *chart) oldest(ctx context.Context, partition int, after uint64) *kept {
	var oldest *kept
	for _, subject := range subjects.RawAlerts(partition) {
		m, err := c.asker.fetch(ctx, subjects.RawStream, fmt.Sprintf(`{"seq":%d,"next_by_subj":%q}`, after+1, subject))
		if err == nil && m != nil && (oldest == nil || m.Seq < oldest.Seq) {
			oldest = m
		}
	}
	return oldest
}

// together runs the functions at once and waits for all.
func together(n int, each func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { each(i) })
	}
	wg.Wait()
}
