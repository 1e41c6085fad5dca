package doctor

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
	"falconer/subjects"
)

// far is a round trip that makes commits slow: each waits for one at least.
const far = 100 * time.Millisecond

func (c *chart) connection() []Finding {
	switch {
	case c.rttErr != nil:
		return []Finding{wrong(c.url+" took the connection and does not answer: "+c.rttErr.Error(), "look into the server's log and at its load (CPU, disk)")}
	case c.rtt > far:
		return []Finding{warn(c.url+" answers in "+span(c.rtt)+"; every commit of a worker waits at least as long", "run workers nearer to the server")}
	}
	return ok(c.url + " answers in " + span(c.rtt))
}

// serverVersion holds the server against the oldest that are sound, for as many
// replicas as the streams have or are to have.
func (c *chart) serverVersion() []Finding {
	replicas := c.cfg.Layout.WithDefaults().Replicas
	for _, name := range []string{subjects.RawStream, subjects.OutputStream} {
		if info := c.streams[name].info; info != nil {
			replicas = max(replicas, info.Config.Replicas)
		}
	}
	if least, old := stream.TooOld(c.version, replicas); old {
		return []Finding{wrong(
			fmt.Sprintf("nats-server %s is too old: its atomic batches are not sound with %s", c.version, count(replicas, "replica")),
			"upgrade all servers to "+least+" or later; workers do not start before")}
	}
	return ok("nats-server " + c.version)
}

func (c *chart) jetStream() []Finding {
	err := c.accountErr
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return []Finding{wrong("JetStream is off on this server", "add a block jetstream { store_dir: /data } to the server's configuration and restart it")}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return []Finding{wrong("JetStream is off for this user's account", "add jetstream: enabled to the account in the server's configuration, or connect as a user of another account (--nats, --creds)")}
	case c.silent() != nil && isLacking(err):
		return []Finding{wrong(err.Error()+", where all answers arrive", "allow the user to subscribe to "+c.asker.inbox.subject)}
	case c.silent() != nil:
		return []Finding{wrong("JetStream does not answer: "+err.Error(), "enable it on the server (jetstream {}) and for this user's account; in a cluster, see that a majority of the servers runs")}
	case err != nil || c.account.Domain == "":
		return ok("JetStream is on")
	}
	return ok("JetStream is on, domain " + c.account.Domain)
}

func isLacking(err error) bool {
	_, lacks := errors.AsType[lacking](err)
	return lacks
}

// apart is how far clocks may differ before a person is misled. What comes out
// of the workers never depends on their clocks.
const apart = 3 * time.Second

func (c *chart) clock() []Finding {
	by := max(c.ahead, -c.ahead)
	if by <= apart+c.unsure {
		return ok("this machine's clock agrees with the server's to within " + span(max(by, c.unsure)))
	}
	way := "behind"
	if c.ahead > 0 {
		way = "ahead of"
	}
	return []Finding{warn(
		"this machine's clock is "+span(by)+" "+way+" the server's: ages shown here are off, and if workers run here, quiet incidents close early or late",
		"synchronise the clocks of this machine and of the servers (timedatectl status, chronyc tracking)")}
}
