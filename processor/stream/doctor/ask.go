package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
)

// answerWait is how long the doctor waits for an answer.
const answerWait = 2 * time.Second

// lacking says that the user lacks a permission.
type lacking struct{ verb, subject string }

func (l lacking) Error() string { return "this user may not " + l.verb + " " + l.subject }

// asker sends requests and learns which of them the server refuses. A refusal
// comes as an error of the connection, and the request stays without an answer.
type asker struct {
	nc     *nats.Conn
	prefix string
	before nats.ErrHandler
	// inbox is what is lacking when answers may not be received.
	inbox lacking
	mu    sync.Mutex
	said  map[lacking]chan struct{} // closed when the server has said so
}

func newAsker(js jetstream.JetStream) *asker {
	nc := js.Conn()
	inbox, _, _ := strings.Cut(nc.NewInbox(), ".")
	a := &asker{
		nc: nc, prefix: stream.APIPrefix(js), before: nc.ErrorHandler(), said: map[lacking]chan struct{}{},
		inbox: lacking{"subscribe to", inbox + ".>"},
	}
	nc.SetErrorHandler(a.hear)
	return a
}

// leave gives the connection's error handler back.
func (a *asker) leave() { a.nc.SetErrorHandler(a.before) }

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// hear takes the server's refusals; other errors are of no use to a doctor.
func (a *asker) hear(_ *nats.Conn, _ *nats.Subscription, err error) {
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	l := lacking{"publish to", m[2]}
	if strings.EqualFold(m[1], "subscription") {
		l.verb = "subscribe to"
	}
	if strings.HasPrefix(l.subject, strings.TrimSuffix(a.inbox.subject, ">")) {
		l = a.inbox
	}
	refused := a.refusal(l)
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-refused:
	default:
		close(refused)
	}
}

func (a *asker) refusal(l lacking) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said[l] == nil {
		a.said[l] = make(chan struct{})
	}
	return a.said[l]
}

// ask sends a request and waits for the answer, or for the refusal, which is
// returned as a lacking.
func (a *asker) ask(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	type reply struct {
		msg *nats.Msg
		err error
	}
	done := make(chan reply, 1)
	go func() {
		msg, err := a.nc.RequestMsgWithContext(ctx, m)
		done <- reply{msg, err}
	}()
	refused := lacking{"publish to", m.Subject}
	select {
	case r := <-done:
		return r.msg, r.err
	case <-a.refusal(refused):
	case <-a.refusal(a.inbox):
		refused = a.inbox
	}
	cancel()
	<-done
	return nil, refused
}

// call asks the JetStream API.
func call[T any](ctx context.Context, a *asker, api, request string) (*T, error) {
	m, err := a.ask(ctx, &nats.Msg{Subject: a.prefix + api, Data: []byte(request)})
	if err != nil {
		return nil, stream.Explain(err)
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return nil, fmt.Errorf("%s: %w", api, err)
	}
	if failed.Error != nil {
		return nil, failed.Error
	}
	out := new(T)
	if err := json.Unmarshal(m.Data, out); err != nil {
		return nil, fmt.Errorf("%s: %w", api, err)
	}
	return out, nil
}

// kept is a stored message with its headers.
type kept struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

func (m *kept) header(key string) string {
	h, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return ""
	}
	return h.Get(key)
}

// fetch asks the leader for one stored message; nil when there is none.
func (a *asker) fetch(ctx context.Context, from, request string) (*kept, error) {
	got, err := call[struct {
		Message *kept `json:"message"`
	}](ctx, a, "STREAM.MSG.GET."+from, request)
	switch {
	case isCode(err, jetstream.JSErrCodeMessageNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return got.Message, nil
}

func isCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
