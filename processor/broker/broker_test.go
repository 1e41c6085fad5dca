package broker

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func start(t *testing.T, cfg Config) *Broker {
	t.Helper()
	b, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func stream(t *testing.T, b *Broker, storage jetstream.StorageType) jetstream.Stream {
	t.Helper()
	conn, err := b.Connect()
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "ALERTS", Subjects: []string{"alerts"}, Storage: storage,
	})
	require.NoError(t, err)
	return s
}

func publish(t *testing.T, b *Broker, text string) {
	t.Helper()
	conn, err := b.Connect()
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "alerts", []byte(text))
	require.NoError(t, err)
}

func TestTheOnlyPortIsTheOneAskedFor(t *testing.T) {
	tests := []struct {
		name   string
		cfg    Config
		listen string // the address of the port, "" for none
	}{
		{name: "no address opens no port", cfg: Config{}},
		{name: "port 0 on loopback", cfg: Config{Listen: "127.0.0.1:0"}, listen: "127.0.0.1"},
		{name: "port -1 on loopback", cfg: Config{Listen: "127.0.0.1:-1"}, listen: "127.0.0.1"},
		{name: "all addresses with a password", cfg: Config{Listen: "0.0.0.0:0", Password: "s3cret"}, listen: "0.0.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := start(t, test.cfg)
			require.Nil(t, b.server.MonitorAddr())
			require.Nil(t, b.server.ProfilerAddr())
			require.Nil(t, b.server.ClusterAddr())
			if test.listen == "" {
				require.Nil(t, b.server.Addr())
				require.Empty(t, b.URL())
			} else {
				addr := b.server.Addr().(*net.TCPAddr)
				require.True(t, addr.IP.Equal(net.ParseIP(test.listen)) || addr.IP.IsUnspecified() && test.listen == "0.0.0.0", addr)
				require.True(t, strings.HasPrefix(b.URL(), "nats://127.0.0.1:"), b.URL())
			}
			stream(t, b, jetstream.MemoryStorage)
			publish(t, b, "one")
		})
	}
}

func TestThePasswordIsAskedOfEveryClientOfThePort(t *testing.T) {
	const looksLikeHash = "$2a$04$abcdefghijklmnopqrstuuJ8nQ1yq1Z0y5y6XkQ3yXyqvZyqvZyqv"
	tests := []struct {
		name string
		cfg  Config
		user string
	}{
		{name: "of the user named", cfg: Config{Listen: "127.0.0.1:0", User: "me", Password: "s3cret"}, user: "me"},
		{name: "of user falconer when none is named", cfg: Config{Listen: "127.0.0.1:0", Password: "s3cret"}, user: "falconer"},
		{name: "and a hash is a password like others", cfg: Config{Listen: "127.0.0.1:0", Password: looksLikeHash}, user: "falconer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := start(t, test.cfg)
			require.NotContains(t, b.URL(), "@")
			for _, wrong := range []nats.Option{nats.UserInfo(test.user, "wrong"), nats.UserInfo("", ""), nats.UserInfo("other", test.cfg.Password)} {
				_, err := b.Connect(wrong)
				require.ErrorIs(t, err, nats.ErrAuthorization)
			}
			for _, right := range [][]nats.Option{nil, {nats.UserInfo(test.user, test.cfg.Password)}} {
				conn, err := b.Connect(right...)
				require.NoError(t, err)
				conn.Close()
			}
		})
	}
}

func TestARestartOnTheSameDirectoryKeepsMessages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	first := start(t, Config{Dir: dir})
	require.False(t, first.Memory())
	stream(t, first, jetstream.FileStorage)
	publish(t, first, "one")
	publish(t, first, "two")
	first.Close()

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "alerts are for this user alone")

	second := start(t, Config{Dir: dir})
	msg, err := stream(t, second, jetstream.FileStorage).GetMsg(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, "two", string(msg.Data))
}

func TestMemoryLeavesNothingOnDisk(t *testing.T) {
	for _, storage := range []jetstream.StorageType{jetstream.MemoryStorage, jetstream.FileStorage} {
		t.Run(storage.String()+" storage", func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			b := start(t, Config{})
			require.True(t, b.Memory())
			stream(t, b, storage)
			publish(t, b, "one")
			b.Close()
			left, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestLimitsReachTheServer(t *testing.T) {
	b := start(t, Config{Dir: t.TempDir(), MaxMemory: 1 << 20, MaxStore: 2 << 20})
	require.EqualValues(t, 1<<20, b.server.JetStreamConfig().MaxMemory)
	require.EqualValues(t, 2<<20, b.server.JetStreamConfig().MaxStore)
	require.False(t, b.server.JetStreamConfig().SyncAlways)
}

func TestStartSaysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	used := start(t, Config{Dir: t.TempDir()})
	lockIsDirectory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(lockIsDirectory, lockName), 0o700))

	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{
			name: "a taken port", cfg: Config{Listen: taken.Addr().String()},
			want: []string{"address already in use", "--nats to join it", "--listen to choose another port"},
		},
		{name: "an address of another machine", cfg: Config{Listen: "192.0.2.1:0", Password: "x"}, want: []string{"--listen to choose another address"}},
		{name: "an open address without a password", cfg: Config{Listen: ":0"}, want: []string{"FALCONER_BROKER_PASSWORD"}},
		{name: "a directory under a file", cfg: Config{Dir: filepath.Join(file, "dir")}, want: []string{file, "choose a directory that this user may write to"}},
		{name: "a directory that takes no file", cfg: Config{Dir: lockIsDirectory}, want: []string{lockIsDirectory, "choose a directory that this user may write to"}},
		{name: "a directory in use", cfg: Config{Dir: used.cfg.Dir}, want: []string{used.cfg.Dir, "in use by process", "stop it, or choose another"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Start(t.Context(), test.cfg)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestAServerThatCannotGoOnFailsStart(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "jetstream")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))
	_, err := Start(t.Context(), Config{Dir: dir, Listen: "127.0.0.1:0"})
	require.ErrorContains(t, err, "starting the broker: nats-server: Can't start JetStream")

	require.NoError(t, os.Remove(inTheWay))
	start(t, Config{Dir: dir}) // the failed one gave the directory free
}

func TestStartWithAnEndedContextLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "never")
	_, err := Start(ctx, Config{Dir: dir})
	require.ErrorIs(t, err, context.Canceled)
	require.NoDirExists(t, dir)
}

func TestCloseTwiceIsCloseOnce(t *testing.T) {
	b := start(t, Config{Listen: "127.0.0.1:0", Dir: t.TempDir()})
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(b.Close)
	}
	closers.Wait()
	b.Close()
	require.False(t, b.server.Running())
	_, err := b.Connect()
	require.Error(t, err)
	l, err := net.Listen("tcp", strings.TrimPrefix(b.URL(), "nats://"))
	require.NoError(t, err, "the port is free again")
	require.NoError(t, l.Close())
}

func TestTheServersWordsAreLogged(t *testing.T) {
	var out bytes.Buffer
	b := start(t, Config{Listen: "127.0.0.1:0", Password: "s3cret", Log: zerolog.New(&out).Level(zerolog.DebugLevel)})
	_, err := b.Connect(nats.UserInfo("me", "wr0ng"))
	require.Error(t, err)
	b.Close()
	require.Contains(t, out.String(), `{"level":"debug","from":"nats-server","message":"Server is ready"}`)
	require.Contains(t, out.String(), `"level":"error"`)
	require.NotContains(t, out.String(), `"level":"warn"`)
	require.NotContains(t, out.String(), "s3cret")
	require.NotContains(t, out.String(), "wr0ng")
}
