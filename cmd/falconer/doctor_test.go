package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"falconer/processor/broker"
	"falconer/processor/broker/brokertest"
	"falconer/processor/stream/doctor"
)

// How long a worker may take to come to what is looked for, and how often to look.
const (
	soon  = 30 * time.Second
	pause = 100 * time.Millisecond
)

func TestDoctorWithoutNATSIsOneFinding(t *testing.T) {
	o := falconer(t, "doctor", "--nats", "nats://me:secret@127.0.0.1:1")
	require.Equal(t, exitFailed, o.code)
	require.Equal(t, "WRONG  connection  no NATS at nats://…@127.0.0.1:1\n"+
		"                   -> start the server; or mend host and port of --nats, or what lies between (firewall, TLS)\n", o.out)
	require.Equal(t, "1 WRONG\n", o.err)

	o = falconer(t, "doctor", "--nats", "nats://127.0.0.1:1", "--json")
	require.Equal(t, exitFailed, o.code)
	f := parse[doctor.Finding](t, o.out)
	require.Len(t, f, 1)
	require.Equal(t, doctor.Wrong, f[0].Level)
	require.NotEmpty(t, f[0].Next)

	o = falconer(t, "doctor", "--nats", "nats://127.0.0.1:1", "--creds", "no-such.creds")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "give --creds a file that is there")
}

func TestDoctorWithTheWrongPassword(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Password = "right" })
	o := falconer(t, "doctor", "--nats", strings.Replace(b.URL(), "nats://", "nats://falconer:wrong@", 1))
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "refused the user")
	require.Contains(t, o.out, "--creds FILE")
	require.NotContains(t, o.out+o.err, "wrong@")
}

func TestDoctorOfASystemThatWorksExitsWithZero(t *testing.T) {
	b := brokertest.Start(t)
	background(t, "run", "--nats", b.URL())
	args := []string{"doctor", "--nats", b.URL(), "--observe", "100ms"}
	require.Eventually(t, func() bool {
		return strings.Contains(falconer(t, args...).out, "all 16 have a live owner")
	}, soon, pause)
	nc := brokertest.Connect(t, b)
	_, err := nc.Request("falco.notice.a", []byte(`{"rule":"A","priority":"Notice","output_fields":{"proc.name":"x"}}`), soon)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(falconer(t, args...).out, "1 alert taken") }, soon, pause)

	o := falconer(t, args...)
	require.Equal(t, exitOK, o.code, o.out)
	require.NotContains(t, o.out, "W", "no WARN, no WRONG")
	for line := range strings.Lines(o.out) {
		require.True(t, strings.HasPrefix(line, "ok     "), line)
	}
	require.Regexp(t, `^Watching for 100ms \.\.\.\n\d+ ok\n$`, o.err)
}

func TestDoctorExitsWithOneOnlyWhenSomethingIsWrong(t *testing.T) {
	b := brokertest.Start(t)
	args := []string{"doctor", "--nats", b.URL(), "--observe", "100ms"}
	o := falconer(t, args...)
	require.Equal(t, exitFailed, o.code)
	require.Regexp(t, `(?m)^WRONG  streams +nothing was set up here yet: .*\n +-> falconer setup`, o.out)
	require.NotContains(t, o.err, "falconer:", "what is wrong was said")

	background(t, "run", "--nats", b.URL())
	require.Eventually(t, func() bool { // no alert yet is a warning only
		o = falconer(t, args...)
		return o.code == exitOK && strings.Contains(o.out, "WARN   alerts") && strings.Contains(o.out, "all 16")
	}, soon, pause, o.out)
}

// What stands in alerts is hostile, and the doctor quotes the newest dead letter.
func TestDoctorPrintsNothingThatATerminalObeys(t *testing.T) {
	b := brokertest.Start(t)
	background(t, "run", "--nats", b.URL())
	nc := brokertest.Connect(t, b)
	args := []string{"doctor", "--nats", b.URL(), "--observe", "100ms"}
	require.Eventually(t, func() bool {
		_ = nc.PublishMsg(&nats.Msg{Subject: "falco.a.b", Data: []byte("\x1b[31m\u202e evil")})
		o := falconer(t, args...)
		requireHarmless(t, o.out)
		json := falconer(t, append(args, "--json")...)
		requireHarmless(t, json.out)
		return strings.Contains(o.out, "not understood") && strings.Contains(json.out, "not understood")
	}, soon, pause)
}

func TestDoctorWantsATimeToObserve(t *testing.T) {
	o := falconer(t, "doctor", "--observe", "0s")
	require.Equal(t, exitMisuse, o.code)
	require.Contains(t, o.err, "--observe is 0s: want a time such as 3s")
}
