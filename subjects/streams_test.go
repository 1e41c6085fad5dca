package subjects_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

func TestLayoutDefaultsAreValid(t *testing.T) {
	l := subjects.Layout{}.WithDefaults()
	require.NoError(t, l.Validate())
	require.Equal(t, subjects.Layout{
		Partitions: 16, Replicas: 1, RawMaxAge: 72 * time.Hour, RawMaxBytes: 8 << 30, OutputMaxBytes: 8 << 30,
	}, l)

	l.Partitions, l.Replicas = 256, 5
	require.Equal(t, l, l.WithDefaults(), "what was chosen stays")
}

func TestLayoutSaysWhatIsWrong(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*subjects.Layout)
		want   string
	}{
		"fewer than one partition":   {func(l *subjects.Layout) { l.Partitions = -1 }, "partitions is -1: want 1 to 256"},
		"too many partitions":        {func(l *subjects.Layout) { l.Partitions = 257 }, "partitions is 257: want 1 to 256"},
		"an even number of replicas": {func(l *subjects.Layout) { l.Replicas = 2 }, "replicas is 2: want 1, 3 or 5"},
		"its own raw stream as source": {
			func(l *subjects.Layout) { l.SourceStream = "FALCO" },
			"source stream is FALCO, which is Falconer's own",
		},
		"its own output stream as source": {
			func(l *subjects.Layout) { l.SourceStream = "FALCONER" },
			"source stream is FALCONER, which is Falconer's own",
		},
		"a raw stream that holds nothing": {
			func(l *subjects.Layout) { l.RawMaxBytes = 1 },
			"the streams need at least 1 MiB each: raw has 1,",
		},
		"an output stream that holds nothing": {
			func(l *subjects.Layout) { l.OutputMaxBytes = 1 },
			"output has 1 bytes",
		},
		"alerts gone before they are read": {
			func(l *subjects.Layout) { l.RawMaxAge = time.Second },
			"raw max age is 1s: want at least 1m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l subjects.Layout
			row.change(&l)
			require.ErrorContains(t, l.Validate(), row.want)
		})
	}
}

func TestRawStreamSpreadsByRule(t *testing.T) {
	raw := subjects.Layout{Partitions: 4}.WithDefaults().Raw()
	require.Equal(t, []string{"falco.>", "falconer.tick.*", "falconer.silence.*"}, raw.Subjects)
	require.Equal(t, "falconer.raw.{{partition(4,2)}}.{{wildcard(1)}}.{{wildcard(2)}}", raw.SubjectTransform.Destination)
	require.False(t, raw.AllowMsgTTL, "an alert does not go before its time")

	n, err := subjects.PartitionsOf(raw)
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

func TestRawStreamFromAnOperatorsOwn(t *testing.T) {
	raw := subjects.Layout{SourceStream: "SECURITY"}.WithDefaults().Raw()
	require.Equal(t, []string{"falconer.tick.*", "falconer.silence.*"}, raw.Subjects, "two streams cannot hold the same subjects")
	require.Len(t, raw.Sources, 1)
	require.Equal(t, "SECURITY", raw.Sources[0].Name)
	require.Equal(t, "falco.>", raw.Sources[0].FilterSubject)
}

func TestPartitionsOfAForeignStream(t *testing.T) {
	for _, metadata := range []map[string]string{nil, {"falconer.partitions": "0"}, {"falconer.partitions": "257"}, {"falconer.partitions": "many"}} {
		_, err := subjects.PartitionsOf(jetstream.StreamConfig{Name: "FALCO", Metadata: metadata})
		require.ErrorContains(t, err, "it was not made by falconer setup")
	}
}

func TestOutputStreamKeepsExactlyWhatIsPublished(t *testing.T) {
	out := subjects.Layout{}.WithDefaults().Output()
	require.Equal(t, jetstream.DiscardNew, out.Discard, "a full stream holds workers back and loses nothing")
	require.EqualValues(t, 1, out.MaxMsgsPerSubject)
	require.True(t, out.AllowAtomicPublish)
	require.True(t, out.DenyDelete)
	require.Zero(t, out.MaxAge)
	for _, subject := range []string{
		subjects.Cursor(0), subjects.State(0, "00112233445566ff"), subjects.Report("info", "r", incident, "opened"),
		subjects.Task("low", "tune", incident, "t"), subjects.DeadLetter(1, "era"), subjects.Replay(1, "era"),
	} {
		require.Condition(t, func() bool { return coveredByOne(out.Subjects, subject) }, subject)
	}
}

func TestMemoryLayoutNeedsNoFileFeatures(t *testing.T) {
	l := subjects.Layout{Memory: true}.WithDefaults()
	require.Equal(t, jetstream.MemoryStorage, l.Raw().Storage)
	require.Equal(t, jetstream.NoCompression, l.Raw().Compression)
	require.Equal(t, jetstream.MemoryStorage, l.Output().Storage)
	require.Equal(t, jetstream.MemoryStorage, l.Members().Storage)
	require.Equal(t, jetstream.MemoryStorage, l.TaskStatus().Storage)
	require.Equal(t, jetstream.S2Compression, subjects.Layout{}.WithDefaults().Raw().Compression)
}

func coveredByOne(filters []string, subject string) bool {
	n := 0
	for _, f := range filters {
		if covers(f, subject) {
			n++
		}
	}
	return n == 1
}
