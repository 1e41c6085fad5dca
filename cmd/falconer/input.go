package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"falconer/processor"
)

// byteOrderMark is what some editors and shells of Windows write before a text.
const byteOrderMark = "\ufeff"

// open opens the input; its size is -1 when it is not known.
func (a *app) open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(a.in), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil || st.IsDir() {
		_ = f.Close() // it was only looked at
		return nil, 0, errors.Join(err, fmt.Errorf("%s is a folder: give a file with alerts as JSON lines, or \"-\"", name))
	}
	return f, st.Size(), nil
}

// cutter takes an input apart into alerts: one a line, or one over many lines.
type cutter struct {
	// alert is called for each, with the line on which it begins. The data is its own.
	alert func(line int, data []byte) error
	line  int // where what comes next begins
}

// read reads the input to its end, or until ctx ends.
func (c *cutter) read(ctx context.Context, src io.Reader) error {
	r := bufio.NewReaderSize(src, 64<<10)
	if mark, _ := r.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = r.Discard(len(byteOrderMark))
	}
	var gathered []byte
	c.line = 1
	for ctx.Err() == nil {
		line, err := r.ReadBytes('\n')
		gathered = append(gathered, line...)
		if err != nil || complete(gathered) {
			if ferr := c.take(gathered); ferr != nil {
				return ferr
			}
			gathered = nil
		}
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil //nolint:nilerr // the end of the input, and of the user's patience, are no errors
		case err != nil:
			return err
		}
	}
	return nil
}

// complete reports whether b is all of an alert, or nothing that more lines
// could make one.
func complete(b []byte) bool {
	trimmed := bytes.TrimSpace(b)
	if len(trimmed) == 0 || trimmed[0] != '{' || json.Valid(trimmed) || len(b) > processor.MaxAlertBytes {
		return true
	}
	var v map[string]json.RawMessage
	err := json.NewDecoder(bytes.NewReader(trimmed)).Decode(&v)
	return !errors.Is(err, io.ErrUnexpectedEOF)
}

// take hands on what was gathered. If that is no alert, its beginning may be one
// that was cut: lines that are alerts by themselves are then handed on so.
func (c *cutter) take(gathered []byte) error {
	lines := bytes.SplitAfter(gathered, []byte("\n"))
	if json.Valid(gathered) {
		return c.hand(lines)
	}
	begin := 0
	for i, line := range lines {
		if _, err := processor.Decode(line); err != nil {
			continue
		}
		if err := errors.Join(c.hand(lines[begin:i]), c.hand(lines[i:i+1])); err != nil {
			return err
		}
		begin = i + 1
	}
	return c.hand(lines[begin:])
}

// hand hands on one alert, of the lines that come next in the input.
func (c *cutter) hand(lines [][]byte) error {
	text := bytes.Join(lines, nil)
	line, data := c.line, bytes.TrimSpace(text)
	c.line += bytes.Count(text, []byte("\n"))
	if len(data) == 0 {
		return nil
	}
	return c.alert(line, data)
}

// grower reads a file that others append to: its end is not the end.
type grower struct {
	ctx context.Context
	r   io.Reader
}

func (g *grower) Read(p []byte) (int, error) {
	for {
		n, err := g.r.Read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-g.ctx.Done():
			return 0, io.EOF
		case <-time.After(200 * time.Millisecond):
		}
	}
}
