package stream_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
	"falconer/processor/stream"
	"falconer/subjects"
)

// faulty is a book that fails on one rule.
type faulty struct{ book }

func (f faulty) Identity(a *processor.Alert) processor.Identity {
	if a.Rule == "Shell" {
		panic("a playbook with a fault")
	}
	return f.book.Identity(a)
}

// A playbook failed, is mended, and its dead letter is replayed: the alert counts
// once among the dead and once where it belongs. While it is not mended, a replay
// makes a new letter, which can be replayed in its turn.
func TestAReplayedLetterIsCountedOnce(t *testing.T) {
	js, connect := setup(t, subjects.Layout{})
	stop := start(t, stream.Config{JS: connect(), Book: faulty{}})
	data := []byte(`{"rule":"Shell","priority":"Warning","source":"syscall","time":"2026-01-02T03:04:05Z","output_fields":{"proc.name":"sh"}}`)
	_, err := js.Publish(t.Context(), "falco.warning.shell", data)
	require.NoError(t, err)
	drained(t, js, 1)
	again := &stream.Again{JS: js, By: "me"}
	rec, fresh, err := again.Replay(t.Context(), 1, "")
	require.NoError(t, err)
	require.True(t, fresh)
	drained(t, js, 2)
	require.EqualValues(t, 2, totals(t, js).Dead)
	letters := outputs(t, js, subjects.DeadLetters)
	require.Len(t, letters, 2, "the records are not among the letters")
	require.Contains(t, letters, subjects.DeadLetter(rec.RawSeq, rec.Era))

	stop()
	start(t, stream.Config{JS: connect(), Book: book{}})
	for range 3 {
		_, _, err = again.Replay(t.Context(), 1, "")
		require.NoError(t, err)
		_, _, err = again.Replay(t.Context(), rec.RawSeq, "")
		require.NoError(t, err)
	}
	publish(t, js, 100, 10)
	drained(t, js, 3+100)
	sum := totals(t, js)
	require.True(t, sum.Balanced(), "%+v", sum)
	require.EqualValues(t, 2, sum.Dead)
	require.EqualValues(t, 1+10, sum.Opened)
	require.Equal(t, outputs(t, js, subjects.DeadLetters), letters, "no letter was changed or added")
	for subject, report := range outputs(t, js, "falconer.report.*.shell.*.opened") {
		var r processor.Report
		require.NoError(t, json.Unmarshal(report, &r))
		require.EqualValues(t, 1, r.Occurrences.Count, subject)
		require.Equal(t, rec.RawSeq+1, r.Occurrences.Samples[0].Seq)
	}
}
