package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// localNATS is where run's own server listens, and so where other commands look
// unless they are told.
const localNATS = "nats://127.0.0.1:4222"

// connect joins the NATS that the configuration names. The caller closes it.
func (a *app) connect(name string) (*nats.Conn, jetstream.JetStream, error) {
	url := a.cfg.NATS
	if url == "" {
		url = localNATS
	}
	nc, err := nats.Connect(url, a.options(name, a.log())...)
	if err != nil {
		return nil, nil, connectError(err, url, a.cfg.NATS == "")
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

// options are the settings of every connection: it is made again for ever, with
// a pause that differs from worker to worker.
func (a *app) options(name string, log zerolog.Logger) []nats.Option {
	opts := []nats.Option{
		nats.Name("falconer " + name), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, time.Second), nats.Timeout(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("NATS lost; trying again until it is back")
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info().Str("url", c.ConnectedUrlRedacted()).Msg("NATS is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn().Err(err).Msg("NATS reports") }),
	}
	if a.cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(a.cfg.Creds))
	}
	if a.cfg.NATS == "" && a.cfg.Password != "" {
		opts = append(opts, nats.UserInfo(brokerUser(a.cfg.User), a.cfg.Password))
	}
	return opts
}

func brokerUser(user string) string {
	if user == "" {
		return "falconer"
	}
	return user
}

// connectError says which NATS was not reached and what to do.
func connectError(err error, url string, guessed bool) error {
	shown := redactURL(url)
	switch {
	case errors.Is(err, nats.ErrNoServers) && guessed:
		return fmt.Errorf("no NATS at %s: start one with \"falconer run\", or name yours with --nats", shown)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("no NATS at %s: is it running, and reachable from here? (--nats)", shown)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("NATS at %s refused the user: %w; give --creds, or user and password in the URL", shown, err)
	}
	return fmt.Errorf("connecting to NATS at %s: %w", shown, err)
}

// redactURL hides the password of each URL in a list.
func redactURL(list string) string {
	urls := strings.Split(list, ",")
	for i, u := range urls {
		scheme, rest, ok := strings.Cut(u, "://")
		if !ok {
			scheme, rest = "nats", u
		}
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			rest = "…@" + rest[at+1:]
		}
		urls[i] = scheme + "://" + rest
	}
	return strings.Join(urls, ",")
}
