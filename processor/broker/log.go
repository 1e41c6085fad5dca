package broker

import (
	"fmt"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// bridge carries the server's words to zerolog and keeps the first of those
// that the server alone would exit after. It is a server.Logger.
type bridge struct {
	log   zerolog.Logger
	fatal atomic.Pointer[string]
}

// failure returns what the server could not go on after, or nil.
func (b *bridge) failure() error {
	if text := b.fatal.Load(); text != nil {
		return fmt.Errorf("nats-server: %s", *text)
	}
	return nil
}

// Fatalf keeps the message: ending the process is up to main.
func (b *bridge) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	b.fatal.CompareAndSwap(nil, &text)
	b.log.Error().Msg(text)
}

// Errorf logs an error.
func (b *bridge) Errorf(format string, v ...any) { b.log.Error().Msgf(format, v...) }

// Warnf logs a warning.
func (b *bridge) Warnf(format string, v ...any) { b.log.Warn().Msgf(format, v...) }

// Noticef logs what a server of its own would tell its operator.
func (b *bridge) Noticef(format string, v ...any) { b.log.Debug().Msgf(format, v...) }

// Debugf logs what concerns only those who work on the server.
func (b *bridge) Debugf(format string, v ...any) { b.log.Trace().Msgf(format, v...) }

// Tracef drops the protocol's lines: they hold whole alerts.
func (b *bridge) Tracef(string, ...any) {}
