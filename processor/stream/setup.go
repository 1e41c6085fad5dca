package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"falconer/subjects"
)

// The oldest servers whose atomic batches are sound, by replica count.
const (
	minServerR1 = "2.12.14"
	minServerR3 = "2.14.4"
)

// Setup makes the streams and buckets that are missing and verifies those that
// exist. It never changes one: a difference is an error that names the field,
// what was found and what is wanted. It returns what it made, by name.
func Setup(ctx context.Context, js jetstream.JetStream, layout subjects.Layout) (made []string, err error) {
	if err := layout.Validate(); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	if err := checkServer(js.Conn(), layout.WithDefaults().Replicas); err != nil {
		return nil, err
	}
	if err := checkSource(ctx, js, layout.SourceStream); err != nil {
		return nil, err
	}
	full := layout.WithDefaults()
	for _, cfg := range []jetstream.StreamConfig{full.Raw(), full.Output()} {
		created, err := ensureStream(ctx, js, cfg, layout)
		if err != nil {
			return made, err
		}
		if created {
			made = append(made, cfg.Name)
		}
	}
	for _, cfg := range []jetstream.KeyValueConfig{full.Members(), full.TaskStatus()} {
		created, err := ensureBucket(ctx, js, cfg)
		if err != nil {
			return made, err
		}
		if created {
			made = append(made, cfg.Bucket)
		}
	}
	return made, nil
}

// checkServer refuses a server without JetStream or older than exactness needs.
func checkServer(nc *nats.Conn, replicas int) error {
	least := oldest(replicas)
	have := nc.ConnectedServerVersion()
	if older(have, least) {
		return fmt.Errorf("nats-server %s at %s is too old: Falconer commits in atomic batches, which are sound from %s on with %d replica(s); upgrade the server",
			have, nc.ConnectedUrlRedacted(), least, replicas)
	}
	return nil
}

// oldest is the oldest server that is sound with so many replicas.
func oldest(replicas int) string {
	if replicas > 1 {
		return minServerR3
	}
	return minServerR1
}

// older compares versions of the form 2.12.14; what follows a dash is ignored.
func older(have, least string) bool {
	a, b := versionParts(have), versionParts(least)
	return slices.Compare(a, b) < 0
}

func versionParts(v string) []int {
	v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), "-")
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}

func checkSource(ctx context.Context, js jetstream.JetStream, name string) error {
	if name == "" {
		return nil
	}
	if _, err := js.Stream(ctx, name); err != nil {
		return fmt.Errorf("source stream %q: %w: name the stream that already holds %s, or leave it out", name, explain(err), subjects.Alerts)
	}
	return nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, asked subjects.Layout) (bool, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = js.CreateStream(ctx, want); err != nil {
			return false, fmt.Errorf("making stream %s: %w%s", want.Name, explain(err), overlapHint(ctx, js, want, err))
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at stream %s: %w", want.Name, explain(err))
	}
	found := s.CachedInfo().Config
	diffs, err := compare(found, want, asked)
	if err != nil {
		return false, err
	}
	return false, refusal("stream", found.Name, diffs)
}

// overlapHint names the stream that already holds our subjects, which is what
// someone meets who keeps falco.> in a stream of their own.
func overlapHint(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, err error) string {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamNameInUse && api.ErrorCode != codeSubjectOverlap {
		return ""
	}
	for _, subject := range want.Subjects {
		if name, err := js.StreamNameBySubject(ctx, subject); err == nil {
			return fmt.Sprintf(": stream %s already has %s; give its name as the source stream (--source-stream %s)", name, subject, name)
		}
	}
	return ""
}

// difference is a field of a stream that is not as it must be.
type difference struct{ field, found, want string }

func (d difference) String() string { return d.field + " is " + d.found + ", want " + d.want }

// comparison gathers differences.
type comparison []difference

func (c *comparison) check(field string, found, want any) {
	if a, b := fmt.Sprint(found), fmt.Sprint(want); a != b {
		*c = append(*c, difference{field, a, b})
	}
}

// compare holds an existing stream against what is wanted, for Setup and the
// doctor. What exactness needs must be so; limits are the operator's, and are
// compared only when asked for. It fails when the stream is none of Falconer's.
func compare(found, want jetstream.StreamConfig, asked subjects.Layout) ([]difference, error) {
	var diffs comparison
	check := diffs.check
	check("subjects", sorted(found.Subjects), sorted(want.Subjects))
	check("sources", sourceNames(found), sourceNames(want))
	check("mirror", found.Mirror != nil, false)
	check("sealed", found.Sealed, false)
	check("no_ack", found.NoAck, false)
	check("retention", found.Retention, want.Retention)
	check("discard", found.Discard, want.Discard)
	check("allow_msg_ttl", found.AllowMsgTTL, want.AllowMsgTTL)
	check("allow_atomic", found.AllowAtomicPublish || !want.AllowAtomicPublish, true)
	if want.MaxMsgsPerSubject > 0 {
		check("max_msgs_per_subject", found.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
		check("max_age", found.MaxAge, want.MaxAge)
		check("deny_delete", found.DenyDelete, want.DenyDelete)
	} else if found.MaxMsgsPerSubject > 0 {
		check("max_msgs_per_subject", found.MaxMsgsPerSubject, -1)
	}
	if want.SubjectTransform != nil {
		n, err := subjects.PartitionsOf(found)
		if err != nil {
			return nil, err
		}
		if asked.Partitions == 0 {
			want.SubjectTransform = subjects.Layout{Partitions: n}.WithDefaults().Raw().SubjectTransform
		}
		check("subject_transform", transform(found), transform(want))
		askedOnly(check, asked.RawMaxAge, found.MaxAge, "max_age")
		askedOnly(check, asked.RawMaxBytes, found.MaxBytes, "max_bytes")
	} else {
		askedOnly(check, asked.OutputMaxBytes, found.MaxBytes, "max_bytes")
	}
	askedOnly(check, asked.Replicas, found.Replicas, "num_replicas")
	return diffs, nil
}

// askedOnly compares a limit that the operator gave explicitly.
func askedOnly[T comparable](check func(string, any, any), asked, found T, field string) {
	var zero T
	if asked != zero {
		check(field, found, asked)
	}
}

// refusal is the error of Setup for what it found otherwise than it must be.
func refusal(kind, name string, diffs []difference) error {
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%s %s exists with other settings and was left as it is: %s. Change it by hand (nats stream edit %s), or remove it and run falconer setup",
		kind, name, listed(diffs), streamOf(kind, name))
}

// streamOf is the stream in which a stream or bucket is kept.
func streamOf(kind, name string) string {
	if kind == "bucket" {
		return "KV_" + name
	}
	return name
}

func listed(diffs []difference) string {
	lines := make([]string, len(diffs))
	for i, d := range diffs {
		lines[i] = d.String()
	}
	return strings.Join(lines, "; ")
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// sourceNames tells a stream's sources and which of their subjects it takes.
func sourceNames(cfg jetstream.StreamConfig) []string {
	out := []string{}
	for _, s := range cfg.Sources {
		out = append(out, s.Name+" "+cmp.Or(s.FilterSubject, ">"))
	}
	return sorted(out)
}

func transform(cfg jetstream.StreamConfig) string {
	if cfg.SubjectTransform == nil {
		return "none"
	}
	return cfg.SubjectTransform.Source + " -> " + cfg.SubjectTransform.Destination
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (bool, error) {
	kv, err := js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if _, err = js.CreateKeyValue(ctx, cfg); err != nil {
			return false, fmt.Errorf("making bucket %s: %w", cfg.Bucket, explain(err))
		}
		return true, nil
	}
	var status jetstream.KeyValueStatus
	if err == nil {
		status, err = kv.Status(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("looking at bucket %s: %w", cfg.Bucket, explain(err))
	}
	return false, refusal("bucket", cfg.Bucket, compareBucket(status.TTL(), cfg))
}

// compareBucket is compare for a bucket: workers that died must leave that of
// the members, and nothing the one of tasks' status.
func compareBucket(ttl time.Duration, want jetstream.KeyValueConfig) []difference {
	var diffs comparison
	diffs.check("max_age", ttl, want.TTL)
	return diffs
}

// explain adds the next step to errors of JetStream that people meet first.
func explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: JetStream does not answer; enable it on the server (jetstream {}) and for this account", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no answer in time; the server may be starting, without a leader, or this user may lack the permission", err)
	}
	return err
}
