package subjects

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams and buckets.
const (
	RawStream     = "FALCO"
	OutputStream  = "FALCONER"
	MembersBucket = "FALCONER_MEMBERS"
	TasksBucket   = "FALCONER_TASKS"
)

// BucketStream is the name of the stream in which NATS keeps a bucket.
func BucketStream(bucket string) string { return "KV_" + bucket }

// DefaultPartitions is how many partitions a new raw stream gets.
const DefaultPartitions = 16

// MemberTTL is how long a worker's presence lasts without renewal.
const MemberTTL = 15 * time.Second

// Metadata keys that Falconer keeps with its streams.
const (
	partitionsKey = "falconer.partitions"
	contractKey   = "falconer.contract"
	contract      = "1"
	// BenchKey marks streams that the bench has made for alerts of its own.
	BenchKey = "falconer.bench"
)

// Layout is what an operator may choose about the streams. What is left zero
// takes its default where a stream is made, and is not compared where one exists.
type Layout struct {
	// Partitions is fixed when FALCO is made; 1 to 256.
	Partitions int
	// Replicas is 1, 3 or 5.
	Replicas int
	Memory   bool
	// Small makes the default sizes 1 GiB, for a server that shares its machine.
	Small bool
	// Bench says that streams with BenchKey are the ones that are meant.
	Bench bool
	// SourceStream names an existing stream that holds falco.>; empty means that
	// FALCO takes the subjects itself.
	SourceStream string
	// RawMaxAge and RawMaxBytes bound FALCO; the oldest alerts go first.
	RawMaxAge   time.Duration
	RawMaxBytes int64
	// OutputMaxBytes bounds FALCONER; when it is full, workers wait.
	OutputMaxBytes int64
}

// WithDefaults fills in what was left out: 16 partitions, one replica, alerts
// kept for 72 hours, at most 8 GiB for each stream.
func (l Layout) WithDefaults() Layout {
	size := int64(8 << 30)
	if l.Small {
		size = 1 << 30
	}
	l.Partitions = cmp.Or(l.Partitions, DefaultPartitions)
	l.Replicas = cmp.Or(l.Replicas, 1)
	l.RawMaxAge = cmp.Or(l.RawMaxAge, 72*time.Hour)
	l.RawMaxBytes = cmp.Or(l.RawMaxBytes, size)
	l.OutputMaxBytes = cmp.Or(l.OutputMaxBytes, size)
	return l
}

// Validate says what is wrong with the layout and what is allowed.
func (l Layout) Validate() error {
	l = l.WithDefaults()
	switch {
	case l.Partitions < 1 || l.Partitions > 256:
		return fmt.Errorf("partitions is %d: want 1 to 256", l.Partitions)
	case l.Replicas != 1 && l.Replicas != 3 && l.Replicas != 5:
		return fmt.Errorf("replicas is %d: want 1, 3 or 5", l.Replicas)
	case l.SourceStream == RawStream || l.SourceStream == OutputStream:
		return fmt.Errorf("source stream is %s, which is Falconer's own: name the stream that holds your alerts, or leave it out", l.SourceStream)
	case l.RawMaxBytes < 1<<20 || l.OutputMaxBytes < 1<<20:
		return fmt.Errorf("the streams need at least 1 MiB each: raw has %d, output has %d bytes", l.RawMaxBytes, l.OutputMaxBytes)
	case l.RawMaxAge < time.Minute:
		return fmt.Errorf("raw max age is %s: want at least 1m", l.RawMaxAge)
	}
	return nil
}

func (l Layout) storage() jetstream.StorageType {
	if l.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// Raw is the configuration of FALCO: raw alerts, spread over partitions by the
// rule's token of the subject.
func (l Layout) Raw() jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:        RawStream,
		Description: "Raw Falco alerts, partitioned by rule, for Falconer",
		Subjects:    []string{Alerts, Ticks, Silences},
		SubjectTransform: &jetstream.SubjectTransformConfig{
			Source:      "falco.*.*",
			Destination: fmt.Sprintf("%s{{partition(%d,2)}}.{{wildcard(1)}}.{{wildcard(2)}}", rawRoot, l.Partitions),
		},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      l.RawMaxAge,
		MaxBytes:    l.RawMaxBytes,
		MaxMsgs:     -1,
		Duplicates:  2 * time.Minute,
		Storage:     l.storage(),
		Compression: l.compression(),
		Replicas:    l.Replicas,
		AllowDirect: true,
		// No TTL for single messages: a sender could have its alert gone before it is read.
		Metadata: map[string]string{partitionsKey: strconv.Itoa(l.Partitions), contractKey: contract},
	}
	if l.SourceStream != "" {
		cfg.Subjects = []string{Ticks, Silences}
		cfg.Sources = []*jetstream.StreamSource{{Name: l.SourceStream, FilterSubject: Alerts}}
	}
	return cfg
}

// compression is for files only: a stream in memory cannot have it.
func (l Layout) compression() jetstream.StoreCompression {
	if l.Memory {
		return jetstream.NoCompression
	}
	return jetstream.S2Compression
}

// Output is the configuration of FALCONER: cursors, incident states, reports,
// tasks and dead letters, one message a subject.
func (l Layout) Output() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               OutputStream,
		Description:        "Falconer's state, reports, tasks and dead letters",
		Subjects:           []string{Cursors, States, Silenced, Reports, Tasks, Dead},
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		MaxBytes:           l.OutputMaxBytes,
		MaxMsgs:            -1,
		MaxMsgsPerSubject:  1,
		Duplicates:         2 * time.Minute,
		Storage:            l.storage(),
		Replicas:           l.Replicas,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
		DenyDelete:         true,
		Metadata:           map[string]string{contractKey: contract},
	}
}

// Members is the configuration of the bucket of live workers.
func (l Layout) Members() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: MembersBucket, Description: "Live Falconer workers",
		TTL: MemberTTL, Storage: l.storage(), Replicas: l.Replicas,
	}
}

// TaskStatus is the configuration of the bucket in which tasks' status lives.
func (l Layout) TaskStatus() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: TasksBucket, Description: "Status of Falconer's tasks, by task id",
		History: 8, Storage: l.storage(), Replicas: l.Replicas,
	}
}

// PartitionsOf reads the number of partitions that a raw stream was made with.
func PartitionsOf(cfg jetstream.StreamConfig) (int, error) {
	n, err := strconv.Atoi(cfg.Metadata[partitionsKey])
	if err != nil || n < 1 || n > 256 {
		return 0, fmt.Errorf("stream %s has no valid %q in its metadata (found %q): it was not made by falconer setup", cfg.Name, partitionsKey, cfg.Metadata[partitionsKey])
	}
	return n, nil
}
