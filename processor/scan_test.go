package processor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/test/corpus"
)

// scanned is what scan reads of data, or nil when it leaves it to decode.
func scanned(data []byte) *Alert {
	a := &Alert{Fields: map[string]string{"left": "from before"}, Tags: []string{"from before"}, Absent: []string{"from before"}}
	s := &scanner{unescaped: []byte("from before")}
	if !s.scan(string(data), a) {
		return nil
	}
	a.trim()
	return a
}

func TestScanReadsWhatFalcoWrites(t *testing.T) {
	for name, data := range map[string][]byte{
		"an alert":      alertJSON(shellRule, epoch, nil),
		"with escapes":  alertJSON(shellRule, epoch, fields{"proc.cmdline": "sh -c \"a && b\" \t\x00 <c> \\ /"}),
		"without value": alertJSON(shellRule, epoch, fields{"fd.name": nil, "proc.tty": 0, "a": "<NA>", "b": ""}),
		"with spaces":   []byte(" \n" + strings.ReplaceAll(strings.ReplaceAll(string(alertJSON(shellRule, epoch, nil)), `":`, "\" :\t"), `,"`, ` , "`) + "\r\n"),
		"a cut value":   alertJSON(shellRule, epoch, fields{"proc.cmdline": "sh[...]", "output": "text[...]"}),
		"numbers":       []byte(`{"rule":"r","priority":"Error","time":"2026-03-01T12:00:00Z","output_fields":{"a":-0.5e+10,"b":18446744073709551615,"c":true,"d":false,"e":null}}`),
	} {
		t.Run(name, func(t *testing.T) {
			a := scanned(data)
			require.NotNil(t, a, string(data))
			want, err := decode(data)
			require.NoError(t, err)
			require.Equal(t, want, a)
		})
	}
}

// Whatever is not plain, or wrong, is not scan's to judge.
func TestScanLeavesTheRestAlone(t *testing.T) {
	const (
		head = `{"rule":"r","priority":"Error","time":"2026-03-01T12:00:00Z","output_fields":{"a":`
		tail = `}}`
	)
	require.NotNil(t, scanned([]byte(head+`1`+tail)))
	for _, v := range []string{
		"01", "1.", ".5", "+1", "1e", "1e+", "--1", "-", "0x1", "1 2", "tru", "nul", "NaN", "", "[1]", "{}", `"a` + "\x00" + `"`, `"a` + "\n" + `"`, `"é"`, "\"\xff\"",
		`"\u00e9"`, `"\ud83d"`, `"\x41"`, `"\u00"`, `"\`, `"a`, `"` + strings.Repeat("x", MaxValueBytes+1) + `"`, `1,"a":2`, `1,"A":2`, `1,"\u0062":2`, `1,`,
	} {
		require.Nil(t, scanned([]byte(head+v+tail)), v)
	}
	for _, data := range []string{
		"", "{", "{}", "[]", "null", head + "1" + tail + "x", head + "1}", head + "1", `{"RULE":"s",` + head[1:] + "1" + tail, `{"rule":"s",` + head[1:] + "1" + tail,
		`{"uuid":{},` + head[1:] + "1" + tail, `{"tags":"a",` + head[1:] + "1" + tail, `{"hostname":7,` + head[1:] + "1" + tail,
	} {
		require.Nil(t, scanned([]byte(data)), data)
	}
}

func FuzzScan(f *testing.F) {
	seedAlerts(f)
	f.Add([]byte(`{"rule":"r","priority":"Error","time":"2026-03-01T12:00:00Z","tags":["b"," a ","","b"],"uuid":1e5,"output_fields":{"a":-0.5e+10,"b":"\u0041\n\\"}}` + " "))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := scanned(data)
		if a == nil {
			return
		}
		want, err := decode(data)
		require.NoError(t, err)
		require.Equal(t, want, a)
	})
}

// Collected alerts are read alike, and most of those that Falco wrote are plain.
func TestScanCorpus(t *testing.T) {
	all, plain := 0, 0
	for _, file := range []string{"alerts-dev.jsonl", "alerts-bulk-dev.jsonl"} {
		for _, l := range corpus.Lines(t, file) {
			all++
			if a := scanned(l.Alert); a != nil {
				plain++
				want, err := decode(l.Alert)
				require.NoError(t, err)
				require.Equal(t, want, a)
			}
		}
	}
	for _, l := range corpus.Lines(t, "alerts-malformed.jsonl") {
		require.Nil(t, scanned([]byte(l.Raw)), l.Why)
	}
	t.Logf("%d of %d are plain", plain, all)
	require.Greater(t, plain, all/2)
}
