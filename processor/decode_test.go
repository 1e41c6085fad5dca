package processor

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"falconer/test/corpus"
)

// Parts of an alert that rows of TestDecode look at.
func tagsOf(a *Alert) any     { return a.Tags }
func sourceIs(a *Alert) any   { return a.Source }
func priorityOf(a *Alert) any { return a.Priority }
func timeOf(a *Alert) any     { return a.Time }
func fieldsOf(a *Alert) any   { return a.Fields }
func absentOf(a *Alert) any   { return a.Absent }
func cutOf(a *Alert) any      { return a.Cut }
func notesOf(a *Alert) any    { return a.Notes }
func outputOf(a *Alert) any   { return a.Output }
func hostnameOf(a *Alert) any { return a.Hostname }
func ruleOf(a *Alert) any     { return a.Rule }

func TestDecode(t *testing.T) {
	when := time.Date(2026, 3, 1, 12, 0, 0, 672852000, time.UTC)
	none := map[string]string{}
	for _, row := range []struct {
		name string
		in   string
		part func(*Alert) any
		want any
	}{
		{"the rule comes verbatim", `{"rule":" My \"rule\" é\n"}`, ruleOf, " My \"rule\" é\n"},
		{"a key in another case is the same key", `{"Rule":"r","RULE_":"x"}`, ruleOf, "r"},
		{"a key as Falco spells it goes before one in another case", `{"Rule":"a","rule":"b","RULE":"c"}`, ruleOf, "b"},
		{"of a repeated key the last one holds", `{"rule":"a","rule":"b"}`, ruleOf, "b"},
		{"white space around the object is nothing", "\n\t {\"rule\":\"r\"} \r\n", ruleOf, "r"},
		{"an unknown key is nothing", `{"rule":"r","message":{"a":[1]},"uuid":"x"}`, ruleOf, "r"},

		{"a missing source is syscall", `{"rule":"r"}`, sourceIs, "syscall"},
		{"a null source is syscall", `{"rule":"r","source":null}`, sourceIs, "syscall"},
		{"an empty source is syscall", `{"rule":"r","source":""}`, sourceIs, "syscall"},
		{"falcosidekick's syscalls is syscall", `{"rule":"r","source":"syscalls"}`, sourceIs, "syscall"},
		{"another source stays", `{"rule":"r","source":"k8s_audit"}`, sourceIs, "k8s_audit"},
		{"Falco's word on itself without a source is internal", `{"rule":"Falco internal: syscall event drop"}`, sourceIs, "internal"},

		{"a missing hostname is empty", `{"rule":"r"}`, hostnameOf, ""},
		{"a null hostname is empty", `{"rule":"r","hostname":null}`, hostnameOf, ""},
		{"a missing output is empty", `{"rule":"r"}`, outputOf, ""},
		{"an empty output is empty", `{"rule":"r","output":""}`, outputOf, ""},
		{"escapes of HTML are characters", `{"rule":"r","output":"a \u003cNA\u003e \u0026 b"}`, outputOf, "a <NA> & b"},

		{"missing tags are none", `{"rule":"r"}`, tagsOf, []string(nil)},
		{"tags [] are none", `{"rule":"r","tags":[]}`, tagsOf, []string(nil)},
		{"tags null are none", `{"rule":"r","tags":null}`, tagsOf, []string(nil)},
		{`tags "" are none`, `{"rule":"r","tags":""}`, tagsOf, []string(nil)},
		{`tags [""] are none`, `{"rule":"r","tags":[""]}`, tagsOf, []string(nil)},
		{"the empty tag of a default Helm install is left out", `{"rule":"r","tags":["","PCI_DSS_11.5.1","host"]}`, tagsOf, []string{"PCI_DSS_11.5.1", "host"}},
		{"tags are sorted, and each stands once", `{"rule":"r","tags":["b"," a ","b"]}`, tagsOf, []string{"a", "b"}},
		{"tags in one string are taken apart", `{"rule":"r","tags":"b, a,,"}`, tagsOf, []string{"a", "b"}},
		{"what is no text among tags is left out", `{"rule":"r","tags":[1,null,{"a":1},"x"]}`, tagsOf, []string{"x"}},
		{"tags that are an object are none", `{"rule":"r","tags":{"a":"b"}}`, tagsOf, []string(nil)},

		{"a priority as Falco writes it", `{"rule":"r","priority":"Warning"}`, priorityOf, Warning},
		{"a priority in another case", `{"rule":"r","priority":"eMERGENCY"}`, priorityOf, Emergency},
		{"INFO is Informational", `{"rule":"r","priority":"INFO"}`, priorityOf, Informational},
		{"a priority with space around it", `{"rule":"r","priority":" error "}`, priorityOf, Error},
		{"a priority as gRPC's number", `{"rule":"r","priority":3}`, priorityOf, Error},
		{"a priority as a number in a string", `{"rule":"r","priority":"0"}`, priorityOf, Emergency},
		{"a number past Debug is unknown", `{"rule":"r","priority":8}`, priorityOf, PriorityUnknown},
		{"a missing priority is unknown", `{"rule":"r"}`, priorityOf, PriorityUnknown},
		{"a null priority is unknown", `{"rule":"r","priority":null}`, priorityOf, PriorityUnknown},
		{"a word that is none of Falco's is unknown, not guessed", `{"rule":"r","priority":"high"}`, priorityOf, PriorityUnknown},

		{
			"numbers keep every digit", `{"rule":"r","output_fields":{"evt.num":18446744073709551615,"f":0.10,"n":-1,"e":1E+2}}`, fieldsOf,
			map[string]string{"evt.num": "18446744073709551615", "f": "0.10", "n": "-1", "e": "1E+2"},
		},
		{"booleans are words", `{"rule":"r","output_fields":{"a":true,"b":false}}`, fieldsOf, map[string]string{"a": "true", "b": "false"}},
		{
			"nested values are compact JSON", `{"rule":"r","output_fields":{"a":[1, "x" ,null],"b":{ "k" : 1.50 }}}`, fieldsOf,
			map[string]string{"a": `[1,"x",null]`, "b": `{"k":1.50}`},
		},
		{
			"text stays as it is", `{"rule":"r","output_fields":{"a":" x\u0000\u001b[31m","b":"\ud83d\ude00"}}`, fieldsOf,
			map[string]string{"a": " x\x00\x1b[31m", "b": "😀"},
		},
		{"half a surrogate is a replacement character", `{"rule":"r","output_fields":{"a":"x\ud83d"}}`, fieldsOf, map[string]string{"a": "x\uFFFD"}},
		{"bytes that are not UTF-8 are replaced in text", "{\"rule\":\"r\",\"output_fields\":{\"a\":\"x\xff\"}}", fieldsOf, map[string]string{"a": "x\uFFFD"}},
		{"bytes that are not UTF-8 are replaced in nested values", "{\"rule\":\"r\",\"output_fields\":{\"a\":[\"x\xff\"]}}", fieldsOf, map[string]string{"a": "[\"x\uFFFD\"]"}},
		{"null, <NA> and the empty string are no values", `{"rule":"r","output_fields":{"a":null,"b":"<NA>","c":"","d":"\u003cNA\u003e"}}`, fieldsOf, none},
		{"fields without a value are named", `{"rule":"r","output_fields":{"b":null,"a":"<NA>","c":1}}`, absentOf, []string{"a", "b"}},
		{"missing output fields are none", `{"rule":"r"}`, fieldsOf, none},
		{"null output fields are none", `{"rule":"r","output_fields":null}`, fieldsOf, none},
		{"empty output fields are none", `{"rule":"r","output_fields":{}}`, fieldsOf, none},

		{"falcosidekick's mark says that a value was cut", `{"rule":"r","output_fields":{"a":"long[...]","b":"short"}}`, cutOf, []string{"a"}},
		{"so does the mark after half a character", `{"rule":"r","output_fields":{"a":"long` + "\uFFFD" + `[...]"}}`, cutOf, []string{"a"}},
		{"the mark alone is a value", `{"rule":"r","output_fields":{"a":"[...]"}}`, cutOf, []string(nil)},
		{"the mark in the middle is a value", `{"rule":"r","output_fields":{"a":"x[...]y"}}`, cutOf, []string(nil)},
		{"the mark ends the output too", `{"rule":"r","output":"text[...]"}`, cutOf, []string{"output"}},
		{"a value past the limit is cut and named", `{"rule":"r","output_fields":{"a":"` + strings.Repeat("x", MaxValueBytes+1) + `"}}`, cutOf, []string{"a"}},
		{"a value at the limit is whole", `{"rule":"r","output_fields":{"a":"` + strings.Repeat("x", MaxValueBytes) + `"}}`, cutOf, []string(nil)},
		{
			"a character is not cut in two", `{"rule":"r","output_fields":{"a":"x` + strings.Repeat("é", MaxValueBytes/2) + `"}}`, fieldsOf,
			map[string]string{"a": "x" + strings.Repeat("é", MaxValueBytes/2-1)},
		},

		{"time in RFC 3339 with nine digits", `{"rule":"r","time":"2026-03-01T12:00:00.672852000Z"}`, timeOf, when},
		{"time with its zeros cut by falcosidekick", `{"rule":"r","time":"2026-03-01T12:00:00.672852Z"}`, timeOf, when},
		{"time in another zone is UTC here", `{"rule":"r","time":"2026-03-01T14:00:00.672852+02:00"}`, timeOf, when},
		{"time with Falco's +0000", `{"rule":"r","time":"2026-03-01T12:00:00.672852000+0000"}`, timeOf, when},
		{"time as gRPC's seconds and nanoseconds", fmt.Sprintf(`{"rule":"r","time":{"seconds":%d,"nanos":672852000}}`, when.Unix()), timeOf, when},
		{"without time, evt.time", fmt.Sprintf(`{"rule":"r","output_fields":{"evt.time":%d}}`, when.UnixNano()), timeOf, when},
		{"without time, evt.time.iso8601, which is a number too", fmt.Sprintf(`{"rule":"r","output_fields":{"evt.time.iso8601":%d}}`, when.UnixNano()), timeOf, when},
		{"a time that cannot be read gives way to evt.time", fmt.Sprintf(`{"rule":"r","time":"12 o'clock","output_fields":{"evt.time":%d}}`, when.UnixNano()), timeOf, when},
		{"a time with a made-up zone is not guessed", `{"rule":"r","time":"2026-03-01T12:00:00Z+2"}`, timeOf, time.Time{}},
		{"a year that no host has is not used", `{"rule":"r","time":"9999-12-31T23:59:59Z","output_fields":{"evt.time":-5}}`, timeOf, time.Time{}},
		{"seconds beyond all calendars are not used", `{"rule":"r","time":{"seconds":9223372036854775807,"nanos":9223372036854775807}}`, timeOf, time.Time{}},
		{"evt.time as a float has lost its digits and is not used", `{"rule":"r","output_fields":{"evt.time":1.7e18}}`, timeOf, time.Time{}},
		{"evt.time as a clock's reading is not used", `{"rule":"r","output_fields":{"evt.time":"07:03:05.063269120"}}`, timeOf, time.Time{}},

		{"what is odd is noted", `{"rule":"r","time":"noon"}`, notesOf, []string{
			"the alert has no output fields", "the alert has no priority that Falco knows",
			"the alert's time is not RFC 3339 and was not used", "the alert does not say when the event happened",
		}},
		{"nothing odd, no note", string(alertJSON(shellRule, when, nil)), notesOf, []string(nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, row.part(mustDecode(t, []byte(row.in))))
		})
	}
}

// One event, as Falco writes it and as falcosidekick passes it on.
func TestDecodeReadsBothFormsAlike(t *testing.T) {
	raw := mustDecode(t, []byte(`{"hostname":"node-1","output":"12:00:00.100000000: Notice <NA>","output_fields":{"evt.time":1772366400100000000,`+
		`"proc.aname[2]":null,"proc.cmdline":"a && b","user.uid":0},"priority":"Notice","rule":"Shell","source":"syscall","tags":["T1059"],"time":"2026-03-01T12:00:00.100000000Z"}`))
	sidekick := mustDecode(t, []byte(`{"uuid":"5d8f4f3e-6a3c-4c7e-9d3a-0b8f6b1c2d3e","output":"12:00:00.100000000: Notice \u003cNA\u003e","priority":"Notice","rule":"Shell",`+
		`"time":"2026-03-01T12:00:00.1Z","output_fields":{"evt.time":1772366400100000000,"proc.aname[2]":null,"proc.cmdline":"a \u0026\u0026 b","user.uid":0},`+
		`"source":"syscalls","tags":["","T1059"],"hostname":"node-1"}`))
	require.Equal(t, raw, sidekick)
	require.Equal(t, map[string]string{"evt.time": "1772366400100000000", "proc.cmdline": "a && b", "user.uid": "0"}, raw.Fields)
}

func TestDecodeKnowsFalcosWordsOnItself(t *testing.T) {
	drop := mustDecode(t, []byte(`{"rule":"Falco internal: syscall event drop","priority":"Debug","output":"n","output_fields":{"n_drops":"12"},"time":"2026-03-01T12:00:00Z","hostname":"node-1"}`))
	require.False(t, drop.Heartbeat())
	require.Equal(t, SourceInternal, drop.Source)
	require.Equal(t, Host, Place(drop))
	snapshot := mustDecode(t, []byte(`{"rule":"Falco internal: metrics snapshot","priority":"Informational","source":"internal","output_fields":{"falco.evts_rate_sec":1.5}}`))
	require.True(t, snapshot.Heartbeat())
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"an empty message", "", "empty message"},
		{"white space only", " \n\t", "empty message"},
		{"an array", `[{"rule":"r"}]`, `not a JSON object: it begins with "[{\"rule\":\"r\"}]"`},
		{"a string", `"rule"`, "not a JSON object"},
		{"null", `null`, `not a JSON object: it begins with "null"`},
		{"a line of Falco's log", "Falco version: 0.44.1 (x86_64)", `not a JSON object: it begins with "Falco version: 0.44.1 (x"`},
		{"an alert wrapped by syslog", `<4>2026-03-01T12:00:00Z node-1 Falco[1]: {"rule":"r"}`, `not a JSON object: it begins with "<4>2026-03-01T12:00:00Z "`},
		{"terminal escapes are shown as such", "\x1b[31mred", `it begins with "\x1b[31mred"`},
		{"half an object", `{"rule":"r"`, "invalid JSON at byte 11 (line 1): unexpected end of JSON input"},
		{"garbage behind the object", `{"rule":"r"} x`, "invalid JSON at byte 14 (line 1): invalid character 'x' after top-level value"},
		{"two objects", "{\"rule\":\"r\"}\n{\"rule\":\"s\"}", "invalid JSON at byte 14 (line 2)"},
		{"a missing comma names its line", "{\n\"rule\":\"r\"\n\"source\":\"s\"}", "(line 3): invalid character '\"' after object key:value pair"},
		{"a raw NUL inside a string", "{\"rule\":\"a\x00b\"}", `invalid JSON at byte 11 (line 1): invalid character '\x00' in string literal`},
		{"a raw NUL inside a field", "{\"rule\":\"r\",\"output_fields\":{\"a\":\"\x00\"}}", `invalid character '\x00' in string literal`},
		{"objects 20,000 deep", `{"rule":"r","output_fields":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20001), "exceeded max depth"},
		{"one byte more than a mebibyte", strings.Repeat(" ", MaxAlertBytes+1), "1048577 bytes long; alerts are decoded up to 1048576 bytes"},
		{"no rule", `{"priority":"Error","output":"x"}`, `no rule: the key "rule" is missing or empty; found: output, priority`},
		{"an empty object", `{}`, `no rule: the key "rule" is missing or empty; the object is empty`},
		{"an empty rule", `{"rule":""}`, "no rule"},
		{"a rule of spaces", `{"rule":" \t"}`, "no rule"},
		{"a null rule", `{"rule":null}`, "no rule"},
		{"a hostile key is made visible", "{\"\\u001b[2J\":1}", `found: \x1b[2j`},
		{"a rule that is a number", `{"rule":7}`, `"rule" must be a string, found "7"`},
		{"a rule longer than any", `{"rule":"` + strings.Repeat("x", MaxRuleBytes+1) + `"}`, "the rule's name is 513 bytes long; at most 512 are allowed"},
		{"output fields that are a list", `{"rule":"r","output_fields":["a"]}`, `"output_fields" must be an object, found "[\"a\"]"`},
		{"output fields that are a string", `{"rule":"r","output_fields":"a=b"}`, `"output_fields" must be an object, found "\"a=b\""`},
		{"a hostname that is an object", `{"rule":"r","hostname":{"name":"x"}}`, `"hostname" must be a string`},
		{"a source that is a list", `{"rule":"r","source":["syscall"]}`, `"source" must be a string`},
		{"an output that is a number", `{"rule":"r","output":1}`, `"output" must be a string`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Decode([]byte(row.in))
			var d *DecodeError
			require.ErrorAs(t, err, &d)
			require.Contains(t, d.Reason, row.want)
			require.Less(t, len(d.Reason), 400)
		})
	}
}

func TestDecodeTakesOneMebibyte(t *testing.T) {
	a := mustDecode(t, []byte(`{"rule":"r"}`+strings.Repeat(" ", MaxAlertBytes-12)))
	require.Equal(t, "r", a.Rule)
}

// Whatever comes, an alert costs no more than the limits say.
func TestDecodeIsBounded(t *testing.T) {
	many := fields{"hostname": strings.Repeat("h", 4096), "output": strings.Repeat("o", 1<<16), "source": strings.Repeat("s", 4096)}
	tags := make([]string, 200)
	for i := range 300 {
		many[fmt.Sprintf("f.%03d", i)] = strings.Repeat("é", 800)
		tags[i%200] = fmt.Sprintf("tag%d", i)
	}
	many["f."+strings.Repeat("n", MaxNameBytes)] = "a name too long"
	many["tags"] = append(tags, strings.Repeat("t", MaxNameBytes+1))
	a := mustDecode(t, alertJSON(shellRule, epoch, many))

	require.Len(t, a.Fields, MaxFieldCount)
	require.Len(t, a.Tags, MaxTagCount)
	require.LessOrEqual(t, len(a.Hostname), MaxNameBytes)
	require.LessOrEqual(t, len(a.Source), MaxNameBytes)
	require.LessOrEqual(t, len(a.Output), MaxOutputBytes)
	total := 0
	for name, v := range a.Fields {
		total += len(v)
		require.LessOrEqual(t, len(v), MaxValueBytes)
		require.LessOrEqual(t, len(name), MaxNameBytes)
	}
	require.LessOrEqual(t, total, MaxTotalBytes+MaxValueBytes+64*MaxFieldCount)
	require.Contains(t, a.Cut, "output")
	require.Contains(t, a.Cut, "f.000")
	require.Contains(t, strings.Join(a.Notes, "\n"), "some output fields were left out")
}

func TestPriorityAndSeverityRoundTrip(t *testing.T) {
	for p := Emergency; p <= PriorityUnknown; p++ {
		require.Equal(t, p, ParsePriority(p.String()))
	}
	require.Equal(t, "Unknown", Priority(99).String())
	for _, word := range Severities() {
		s, err := ParseSeverity(word)
		require.NoError(t, err)
		require.Equal(t, word, s.String())
	}
	_, err := ParseSeverity("Critical")
	require.ErrorContains(t, err, `unknown severity "Critical": want critical, high, medium, low or info`)
	require.Equal(t, "info", Severity(99).String())
}

var digits = regexp.MustCompile(`[0-9]+|"[^"]*"`)

// Alerts that people published decode, or say why not.
func TestDecodeCorpus(t *testing.T) {
	for _, file := range []string{"alerts-dev.jsonl", "alerts-bulk-dev.jsonl"} {
		t.Run(file, func(t *testing.T) {
			reasons, notes, decoded := map[string]int{}, map[string]int{}, 0
			for _, l := range corpus.Lines(t, file) {
				a, err := Decode(l.Alert)
				if err != nil {
					var d *DecodeError
					require.ErrorAs(t, err, &d, "%s: %v", l.Origin, err)
					require.NotEqual(t, "captured", l.Kind, "%s: Falco wrote this, and we cannot read it: %s", l.Origin, d.Reason)
					reasons[d.Reason]++
					continue
				}
				decoded++
				for _, n := range a.Notes {
					notes[n]++
				}
				reportOrCount(t, l.Alert)
			}
			t.Logf("%d decoded; failed: %v; noted: %v", decoded, reasons, notes)
		})
	}
	t.Run("malformed", func(t *testing.T) {
		reasons := map[string]int{}
		for _, l := range corpus.Lines(t, "alerts-malformed.jsonl") {
			_, err := Decode([]byte(l.Raw))
			var d *DecodeError
			require.ErrorAs(t, err, &d, "%s: %s", l.Origin, l.Why)
			reasons[digits.ReplaceAllString(d.Reason, "…")]++
		}
		t.Logf("failed, as they must: %v", reasons)
	})
}

// reportOrCount folds one alert by itself: a heartbeat makes no report, any
// other alert makes one.
func reportOrCount(t *testing.T, data []byte) {
	t.Helper()
	l := NewLedger(Options{Book: testBook{}, Era: "era"})
	require.True(t, l.Fold(Message{Seq: 1, Time: epoch, Data: data}, MinRoom))
	ch := l.Take()
	require.EqualValues(t, 1, uint64(len(ch.Reports))+ch.Cursor.Totals.Internal)
}

// seedAlerts gives a fuzz target one of every form.
func seedAlerts(f *testing.F) {
	f.Add(alertJSON(shellRule, epoch, nil))
	f.Add(alertJSON(burstRule, epoch, fields{"tags": nil, "hostname": nil, "source": nil, "output_fields": nil}))
	f.Add([]byte(`{"rule":"r","priority":"INFO","time":{"seconds":1772366400,"nanos":1},"tags":"a,b","output_fields":{"a":[1,{"b":null}],"c":1e400,"d":"<NA>","e":"x[...]"}}`))
	f.Add([]byte("{\"Rule\":\"r\xff\",\"RULE\":\"s\",\"output_fields\":{\"\xff\":\"\xfe\",\"n\":[\"\xff\"]}}"))
	f.Add([]byte(`{"rule":"r","output_fields":{"a":"\ud83d","b":"\u0000\u202e","c":""}} `))
	f.Add([]byte(`<4>Mar  1 12:00:00 node-1 Falco[1]: {"rule":"r"}`))
	f.Add([]byte(`[{"rule":"r"}]`))
}

func FuzzDecode(f *testing.F) {
	seedAlerts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Decode(data)
		again, errAgain := Decode(data)
		require.Equal(t, a, again)
		require.Equal(t, err, errAgain)
		if err != nil {
			var d *DecodeError
			require.ErrorAs(t, err, &d)
			require.NotEmpty(t, d.Reason)
			return
		}
		b := mustDecode(t, falcoForm(t, a))
		require.Equal(t, a.Rule, b.Rule)
		require.Equal(t, a.Source, b.Source)
		require.Equal(t, a.Fields, b.Fields)
		require.Equal(t, a.Absent, b.Absent)
		require.Equal(t, a.Tags, b.Tags)
		require.Equal(t, a.Priority, b.Priority)
		require.Equal(t, a.Hostname, b.Hostname)
		require.Equal(t, a.Output, b.Output)
		require.Equal(t, a.Time, b.Time)
		require.Equal(t, eventHash(a), eventHash(b))
	})
}

// falcoForm writes an alert back in Falco's form.
func falcoForm(t testing.TB, a *Alert) []byte {
	out := map[string]any{}
	for k, v := range a.Fields {
		out[k] = v
	}
	for _, k := range a.Absent {
		out[k] = nil
	}
	top := map[string]any{
		"rule": a.Rule, "source": a.Source, "priority": a.Priority, "hostname": a.Hostname,
		"output": a.Output, "tags": a.Tags, "output_fields": out,
	}
	if !a.Time.IsZero() {
		top["time"] = a.Time
	}
	data, err := json.Marshal(top)
	require.NoError(t, err)
	return data
}
