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
	have := nc.ConnectedServerVersion()
	if least, old := TooOld(have, replicas); old {
		return fmt.Errorf("nats-server %s at %s is too old: Falconer commits in atomic batches, which are sound from %s on with %d replica(s); upgrade the server",
			have, nc.ConnectedUrlRedacted(), least, replicas)
	}
	return nil
}

// TooOld reports whether a server's atomic batches are not sound yet with so many
// replicas, and names the oldest version whose are. Setup refuses such a
// server. What follows a dash in the version is ignored.
func TooOld(version string, replicas int) (least string, old bool) {
	least = minServerR1
	if replicas > 1 {
		least = minServerR3
	}
	return least, slices.Compare(versionParts(version), versionParts(least)) < 0
}

// versionParts takes a version of the form 2.12.14 apart.
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
		return fmt.Errorf("source stream %q: %w: name the stream that already holds %s, or leave it out", name, Explain(err), subjects.Alerts)
	}
	return nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, asked subjects.Layout) (bool, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = js.CreateStream(ctx, want); err != nil {
			return false, fmt.Errorf("making stream %s: %w%s", want.Name, Explain(err), overlapHint(ctx, js, want, err))
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at stream %s: %w", want.Name, Explain(err))
	}
	found := s.CachedInfo().Config
	diffs, err := compare(found, want, asked)
	if err != nil {
		return false, err
	}
	return false, refusal("stream "+found.Name, found.Name, diffs)
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

// Differences holds one of Falconer's streams, or the stream of one of its buckets,
// against what Setup would make of the layout, and says for each field that Setup
// would refuse what it is and what is wanted. It fails when FALCO is none that
// Setup has made.
func Differences(found jetstream.StreamConfig, layout subjects.Layout) ([]string, error) {
	full := layout.WithDefaults()
	switch found.Name {
	case subjects.BucketStream(subjects.MembersBucket):
		return compareBucket(found.MaxAge, full.Members()), nil
	case subjects.BucketStream(subjects.TasksBucket):
		return compareBucket(found.MaxAge, full.TaskStatus()), nil
	case subjects.RawStream:
		return compare(found, full.Raw(), layout)
	}
	return compare(found, full.Output(), layout)
}

// comparison gathers differences.
type comparison []string

func (c *comparison) check(field string, found, want any) {
	if a, b := fmt.Sprint(found), fmt.Sprint(want); a != b {
		*c = append(*c, field+" is "+a+", want "+b)
	}
}

// compare holds an existing stream against what is wanted. What exactness needs
// must be so; limits are the operator's, and are compared only when asked for.
func compare(found, want jetstream.StreamConfig, asked subjects.Layout) ([]string, error) {
	var diffs comparison
	check := diffs.check
	if found.Metadata[subjects.BenchKey] != "" && !asked.Bench {
		diffs = append(diffs, "it was left by falconer bench, which a next run here removes (or nats stream rm "+found.Name+"); it is none for real alerts")
	}
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
		if asked.Partitions != 0 && asked.Partitions != n {
			diffs = append(diffs, fmt.Sprintf("partitions is %d, want %d (--partitions is for new streams: leave it out)", n, asked.Partitions))
			want.SubjectTransform = found.SubjectTransform
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

// refusal is the error of Setup for what it found otherwise than it must be, and
// the stream in which that is to be changed.
func refusal(what, stream string, diffs []string) error {
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%s exists with other settings and was left as it is: %s. Change it by hand (nats stream edit %s), or remove it and run falconer setup",
		what, strings.Join(diffs, "; "), stream)
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
			return false, fmt.Errorf("making bucket %s: %w", cfg.Bucket, Explain(err))
		}
		return true, nil
	}
	var status jetstream.KeyValueStatus
	if err == nil {
		status, err = kv.Status(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("looking at bucket %s: %w", cfg.Bucket, Explain(err))
	}
	return false, refusal("bucket "+cfg.Bucket, subjects.BucketStream(cfg.Bucket), compareBucket(status.TTL(), cfg))
}

// compareBucket is compare for a bucket: workers that died must leave that of
// the members, and nothing the one of tasks' status.
func compareBucket(ttl time.Duration, want jetstream.KeyValueConfig) []string {
	var diffs comparison
	diffs.check("max_age", ttl, want.TTL)
	return diffs
}

// Explain adds the next step to the errors of JetStream that people meet first. It
// returns others, and nil, as they are.
func Explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: JetStream does not answer; enable it on the server (jetstream {}) and for this account", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no answer in time; the server may be starting, without a leader, or this user may lack the permission", err)
	}
	return err
}
