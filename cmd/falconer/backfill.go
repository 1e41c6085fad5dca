package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"falconer/processor"
)

// oldFile is a file of alerts that happened some time ago. Files have an order of
// their own, by name and content, whatever the order in which they were given.
type oldFile struct {
	name   string
	sum    []byte
	alerts []oldAlert
}

// oldAlert is an alert with the time at which it is taken to have come.
type oldAlert struct {
	time time.Time
	file string
	line int
	data []byte
}

// backfill folds the alerts of files in the order in which their events happened.
func (a *app) backfill(ctx context.Context, names []string) error {
	book, err := a.book()
	if err != nil {
		return err
	}
	files := make([]oldFile, len(names))
	for i, name := range names {
		if files[i], err = a.readOld(ctx, name); err != nil {
			return err
		}
	}
	l := processor.NewLedger(processor.Options{
		Book: book, Era: offlineEra, Redaction: a.redaction(), Reopen: a.cfg.Reopen,
	})
	if err := a.foldOld(ctx, l, inOrder(files)); err != nil {
		return err
	}
	totals := l.Cursor().Totals
	a.sayTotals(totals)
	switch {
	case totals.In == 0:
		return errors.New("no alert in the input")
	case totals.Dead > 0:
		return errSaid
	}
	return nil
}

// readOld reads a file whole. Alerts without a time have the zero time.
func (a *app) readOld(ctx context.Context, name string) (oldFile, error) {
	in, size, err := a.open(name)
	if err != nil {
		return oldFile{}, err
	}
	defer in.Close()
	f, hash := oldFile{name: filepath.Base(name)}, sha256.New()
	if name == "-" {
		f.name = "standard input"
	}
	cut := cutter{alert: func(line int, data []byte) error {
		old := oldAlert{file: f.name, line: line, data: data}
		if alert, err := processor.Decode(data); err == nil {
			old.time = alert.Time
		}
		f.alerts = append(f.alerts, old)
		return nil
	}}
	bar := a.progress(size, "bytes")
	err = cut.read(ctx, io.TeeReader(io.TeeReader(in, hash), bar))
	_ = bar.Finish()
	f.sum = hash.Sum(nil)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return f, cmp.Or(err, ctx.Err())
}

// inOrder returns the alerts of all files by time. Those of one time keep the
// order of the files and of their lines.
func inOrder(files []oldFile) []oldAlert {
	slices.SortFunc(files, func(a, b oldFile) int { return cmp.Or(cmp.Compare(a.name, b.name), bytes.Compare(a.sum, b.sum)) })
	var all []oldAlert
	for _, f := range files {
		all = append(all, f.alerts...)
	}
	first := earliest(all)
	all = all[:0]
	for _, f := range files {
		f.date(first)
		all = append(all, f.alerts...)
	}
	slices.SortStableFunc(all, func(a, b oldAlert) int { return a.time.Compare(b.time) })
	return all
}

// date gives alerts without a time that of the one before; the first ones of a
// file that of the first with a time, or else the fallback.
func (f oldFile) date(fallback time.Time) {
	at := fallback
	if i := slices.IndexFunc(f.alerts, oldAlert.dated); i >= 0 {
		at = f.alerts[i].time
	}
	for i := range f.alerts {
		if !f.alerts[i].dated() {
			f.alerts[i].time = at
		}
		at = f.alerts[i].time
	}
}

func (o oldAlert) dated() bool { return !o.time.IsZero() }

// earliest is the first time there is; zero when there is none.
func earliest(alerts []oldAlert) (first time.Time) {
	for _, o := range alerts {
		if o.dated() && (first.IsZero() || o.time.Before(first)) {
			first = o.time
		}
	}
	return first
}

// foldOld folds alerts, and then lets the time pass until no incident is open.
func (a *app) foldOld(ctx context.Context, l *processor.Ledger, alerts []oldAlert) error {
	for i, old := range alerts {
		m := processor.Message{Seq: uint64(i + 1), Time: old.time, Subject: fmt.Sprintf("%s line %d", old.file, old.line), Data: old.data}
		for !l.Fold(m, room) {
			if err := a.printOld(l); err != nil {
				return err
			}
		}
		if err := cmp.Or(a.printOld(l), ctx.Err()); err != nil {
			return err
		}
	}
	for l.Open() > 0 {
		due, _ := l.NextDue()
		l.Settle(due, room)
		if err := a.printOld(l); err != nil {
			return err
		}
	}
	return nil
}

// printOld prints what the ledger has for publication.
func (a *app) printOld(l *processor.Ledger) error {
	if l.Pending() == 0 {
		return nil
	}
	ch := l.Take()
	for i := range ch.Dead {
		if d := &ch.Dead[i]; !a.asJSON {
			a.say("%s: not understood: %s", d.Subject, d.Reason)
		} else if err := a.printJSON(d); err != nil {
			return err
		}
	}
	return a.outputLines(ch)
}
