package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"falconer/processor/stream"
)

// settings holds the streams and buckets against what Setup would make.
func (c *chart) settings() []Finding {
	var out []Finding
	var missing []string
	for _, name := range ours() {
		s := c.streams[name]
		switch {
		case isCode(s.err, jetstream.JSErrCodeStreamNotFound):
			missing = append(missing, name)
		case s.err != nil:
			f := unseen(s.err)
			f.Found = "stream " + name + ": " + f.Found
			out = append(out, f)
		default:
			out = append(out, c.unlike(name, s.info.Config)...)
		}
	}
	if len(missing) > 0 {
		found := strings.Join(missing, ", ") + " not there"
		if len(missing) == len(ours()) {
			found = "nothing was set up here yet: " + found
		}
		out = append(out, wrong(found, "falconer setup, or start a worker: falconer run"))
	}
	if len(out) == 0 {
		return ok("FALCO, FALCONER and the buckets are there, with the settings that Falconer needs")
	}
	return out
}

// unlike is the finding for a stream with other settings.
func (c *chart) unlike(name string, found jetstream.StreamConfig) []Finding {
	diffs, err := stream.Differences(found, c.cfg.Layout)
	switch {
	case err != nil:
		return []Finding{wrong(err.Error(), "save what it holds, remove it (nats stream rm "+name+"), and run falconer setup; or give a stream of yours as --source-stream")}
	case len(diffs) > 0:
		return []Finding{wrong("stream "+name+": "+strings.Join(diffs, "; "),
			"nats stream edit "+name+" where the server allows the change, else remove the stream and run falconer setup; workers do not start before")}
	}
	return nil
}

// replicas looks at how each stream's copies stand.
func (c *chart) replicas() []Finding {
	var out []Finding
	most := 1
	clustered := false
	for _, name := range ours() {
		info := c.streams[name].info
		if info == nil {
			continue
		}
		most = max(most, info.Config.Replicas)
		clustered = clustered || info.Cluster != nil && info.Cluster.Name != ""
		out = append(out, copies(info)...)
	}
	switch {
	case len(out) > 0:
		return out
	case most > 1:
		return ok(fmt.Sprintf("every stream has a leader, and its %d copies are current", most))
	case clustered:
		return []Finding{note("one copy of each stream in a cluster: while its server is away, alerts are lost", "for three copies: nats stream edit FALCO --replicas 3, and the same for FALCONER and KV_FALCONER_MEMBERS")}
	}
	return ok("one copy of each stream, on this server")
}

// behindFor is how long a replica may be silent before it counts as lagging.
const behindFor = 10 * time.Second

// copies looks at one stream's leader and followers.
func copies(info *jetstream.StreamInfo) []Finding {
	name, cl := info.Config.Name, info.Cluster
	if cl == nil {
		return nil
	}
	if cl.Leader == "" {
		return []Finding{wrong("stream "+name+" has no leader: nothing can be stored in it",
			"see that a majority of the servers runs and reaches each other: nats server report jetstream")}
	}
	var offline, lagging []string
	for _, r := range cl.Replicas {
		switch {
		case r.Offline:
			offline = append(offline, r.Name)
		case !r.Current || r.Active > behindFor:
			lagging = append(lagging, fmt.Sprintf("%s (%d behind)", r.Name, r.Lag))
		}
	}
	var out []Finding
	if have := 1 + len(cl.Replicas) - len(offline); len(offline) > 0 {
		f := warn(fmt.Sprintf("stream %s: %d of %d copies are there, offline: %s", name, have, info.Config.Replicas, strings.Join(offline, ", ")),
			"start the servers that are offline; if they are gone for good: nats stream cluster evacuate "+name)
		if 2*(have-1) <= info.Config.Replicas {
			f.Found += "; one more failure stops the work"
		}
		out = append(out, f)
	}
	if len(lagging) > 0 {
		out = append(out, warn("stream "+name+": copies that lag: "+strings.Join(lagging, ", "), "look at disk and network of these servers; run falconer doctor again in a minute"))
	}
	return out
}
