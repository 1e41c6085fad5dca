//go:build unix

package test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"falconer/subjects"
)

// server is a nats-server of its own process that keeps its ports and its files
// when it is started again.
type server struct {
	t    *testing.T
	name string
	port int
	conf string
	proc *process
}

// cluster is one nats-server, or three whose routes go through proxies.
type cluster struct {
	t       *testing.T
	servers []*server
	wires   []*wire
}

const serverConf = `
server_name: %s
listen: "127.0.0.1:%d"
jetstream { store_dir: %q }
`

const clusterConf = `
cluster {
  name: faults
  listen: "127.0.0.1:%d"
  no_advertise: true
  routes: [%s]
}
`

// startCluster starts so many servers, and returns when they answer.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	ports := freePorts(t, 2*n)
	for i := range n {
		s := &server{t: t, name: fmt.Sprintf("server-%d", i), port: ports[i]}
		text := fmt.Sprintf(serverConf, s.name, s.port, t.TempDir())
		if n > 1 {
			text += fmt.Sprintf(clusterConf, ports[n+i], strings.Join(c.routes(i, ports[n:]), ", "))
		}
		s.conf = filepath.Join(t.TempDir(), s.name+".conf")
		require.NoError(t, os.WriteFile(s.conf, []byte(text), 0o600))
		c.servers = append(c.servers, s)
	}
	for _, s := range c.servers {
		s.start()
	}
	for _, s := range c.servers {
		s.proc.says(`(Server is ready)`)
	}
	return c
}

// routes are the URLs by which server i reaches the others: a wire to each.
func (c *cluster) routes(i int, ports []int) (urls []string) {
	for j, port := range ports {
		if j != i {
			w := newWire(c.t, i, j, fmt.Sprintf("127.0.0.1:%d", port))
			c.wires = append(c.wires, w)
			urls = append(urls, fmt.Sprintf("%q", "nats-route://"+w.address()))
		}
	}
	return urls
}

// freePorts finds ports that nobody listens on.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	var held []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held, ports = append(held, l), append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range held {
		l.Close()
	}
	return ports
}

func (s *server) start() {
	s.t.Helper()
	s.proc = start(s.t, s.name, program(s.t, serverBinary), "-c", s.conf)
}

// again starts the server that was killed, and waits until it listens.
func (s *server) again() {
	s.t.Helper()
	s.start()
	s.proc.says(`(Server is ready)`)
}

func (c *cluster) kind() string { return fmt.Sprintf("R%d", len(c.servers)) }

// urls are all servers', as --nats takes them.
func (c *cluster) urls() string {
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", s.port))
	}
	return strings.Join(urls, ",")
}

// connect joins the cluster with a connection that comes back quickly.
func (c *cluster) connect(opts ...jetstream.JetStreamOpt) jetstream.JetStream {
	c.t.Helper()
	nc, err := nats.Connect(c.urls(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.Timeout(2*time.Second),
		nats.ReconnectJitter(0, 0), nats.RetryOnFailedConnect(true), nats.IgnoreDiscoveredServers(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(c.t, err)
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, opts...)
	require.NoError(c.t, err)
	return js
}

// hasLeaders reports whether both streams answer and have all their replicas.
func (c *cluster) hasLeaders(js jetstream.JetStream) bool {
	for _, name := range []string{subjects.RawStream, subjects.OutputStream} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		s, err := js.Stream(ctx, name)
		cancel()
		if err != nil {
			return false
		}
		if info := s.CachedInfo().Cluster; len(c.servers) > 1 && (info == nil || info.Leader == "") {
			return false
		}
	}
	return true
}
