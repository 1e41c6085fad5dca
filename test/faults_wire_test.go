//go:build unix

package test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire carries the route from one server to another, and may be cut: it then
// either breaks what goes through it and refuses more, or silently holds it back,
// as a network does that loses packets, and delivers it when it is mended.
type wire struct {
	from, to int // servers
	target   string
	listener net.Listener

	mu    sync.Mutex
	open  *sync.Cond
	cut   bool
	holds bool
	over  bool
	conns map[net.Conn]bool
}

func newWire(t *testing.T, from, to int, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{from: from, to: to, target: target, listener: l, conns: map[net.Conn]bool{}}
	w.open = sync.NewCond(&w.mu)
	go w.serve()
	t.Cleanup(w.end)
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

// touches says whether the wire begins or ends at a server.
func (w *wire) touches(server int) bool { return w.from == server || w.to == server }

func (w *wire) serve() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.carry(in)
	}
}

// carry forwards both ways until one side closes.
func (w *wire) carry(in net.Conn) {
	defer in.Close()
	if !w.passes() {
		return
	}
	out, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer out.Close()
	w.keep(in, out)
	defer w.forget(in, out)
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			defer func() { done <- struct{}{} }()
			w.forward(pair[0], pair[1])
		}()
	}
	<-done
}

func (w *wire) forward(from, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !w.passes() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// passes waits while the wire holds back, and reports whether it carries at all.
func (w *wire) passes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.cut && w.holds && !w.over {
		w.open.Wait()
	}
	return !w.cut && !w.over
}

func (w *wire) keep(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
}

func (w *wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// sever cuts the wire until mend is called.
func (w *wire) sever(holds bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.holds = true, holds
	if !holds {
		w.drop()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
	w.open.Broadcast()
}

func (w *wire) end() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.drop()
	w.open.Broadcast()
}

func (w *wire) drop() {
	for c := range w.conns {
		c.Close()
	}
}
