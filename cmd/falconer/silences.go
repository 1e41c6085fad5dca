package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/rules"
)

// silenceFile is the form of the file that --silences names.
type silenceFile struct {
	Silences []struct {
		Matchers []string `yaml:"matchers"`
		Author   string   `yaml:"author"`
		Reason   string   `yaml:"reason"`
		Until    string   `yaml:"until"`
	} `yaml:"silences"`
}

// readSilences reads the file of silences, if one is named.
func (a *app) readSilences() (list []processor.Silence, err error) {
	if a.cfg.Silences == "" {
		return nil, nil
	}
	data, err := os.ReadFile(a.cfg.Silences)
	if err != nil {
		return nil, fmt.Errorf("reading the silences: %w", err)
	}
	var file silenceFile
	if err := rules.Decode(a.cfg.Silences, data, &file); err != nil {
		return nil, err
	}
	var errs []error
	for i, entry := range file.Silences {
		until, err := time.Parse(time.RFC3339, entry.Until)
		if err != nil {
			err = fmt.Errorf("until is %q: want a time such as 2026-01-31T12:00:00Z", entry.Until)
		}
		s, bad := newSilence(entry.Matchers, entry.Author, entry.Reason, until)
		if err := cmp.Or(err, bad); err != nil {
			errs = append(errs, fmt.Errorf("%s: silence %d: %w", a.cfg.Silences, i+1, err))
		}
		list = append(list, s)
	}
	return list, errors.Join(errs...)
}

// orderSilences begins those of the file that are not known yet. Ones that are
// over, or were ended by hand, stay so.
func orderSilences(ctx context.Context, js jetstream.JetStream, list []processor.Silence, log zerolog.Logger) error {
	if len(list) == 0 {
		return nil
	}
	known, err := stream.ListSilences(ctx, js)
	if err != nil {
		return err
	}
	for _, s := range list {
		isKnown := slices.ContainsFunc(known, func(k stream.Silence) bool { return k.ID == s.ID })
		if isKnown || !s.Until.After(time.Now()) {
			continue
		}
		seq, err := stream.Order(ctx, js, processor.SilenceOrder{Add: &s})
		if err != nil {
			return err
		}
		log.Info().Str("silence", s.ID).Str("matchers", matchersText(s.Matchers)).Time("until", s.Until).Uint64("seq", seq).Msg("silence of the file begins")
	}
	return nil
}
