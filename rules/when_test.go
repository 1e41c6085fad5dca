package rules

import (
	"testing"

	"github.com/stretchr/testify/require"

	"falconer/processor"
)

func TestConditions(t *testing.T) {
	a := &processor.Alert{
		Rule: "R", Source: "syscall", Priority: processor.Warning, Hostname: "node-1", Output: "it happened",
		Tags: []string{"container", "T1059"},
		Fields: map[string]string{
			"k8s.ns.name": "shop", "k8s.pod.name": "cart-7d4b9c6f5-x2x7k", "proc.name": "bash", "user.uid": "0",
			"user.loginuid": "-1", "fd.sip": "8.8.8.8", "fd.cip": "10.1.2.3", "fd.rport": "4444", "fd.name": "/tmp/../etc/shadow",
			"proc.cmdline": `docker run --privileged "alpine"`, "evt.empty": "", "evt.num": "99999999999999999999", "evt.ratio": "1.5",
		},
	}
	b := bookOf(t, judged)
	for source, want := range map[string]bool{
		`rule == "R" and source == "syscall" and priority == "Warning"`: true,
		`hostname == "node-1" and output contains "happened"`:           true,
		`place == "kubernetes"`:                                    true,
		`"T1059" in tags and len(tags) == 2`:                       true,
		`f("proc.name") in ["sh", "bash"]`:                         true,
		`f("namespace") == "shop"`:                                 true,
		`f("workload") == "cart"`:                                  true,
		`f("rule") == "R" and f("output") != ""`:                   true,
		`f("no.such.field") == ""`:                                 true,
		`has("no.such.field")`:                                     false,
		`has("evt.empty")`:                                         false,
		`has("k8s.ns.name") and has("user")`:                       true,
		`num("user.uid") == 0`:                                     true,
		`num("fd.rport") > 1024`:                                   true,
		`num("no.such.field") == 0`:                                false,
		`num("proc.name") == -1`:                                   true,
		`num("evt.num") == -1`:                                     true,
		`num("evt.ratio") == -1`:                                   true,
		`let("last") == "\"alpine\""`:                              true,
		`let ("last") != ""`:                                       true,
		`let x = let("last"); x == "" or x != ""`:                  true,
		`f("let.last") == let("last")`:                             true,
		`output == "let(\"last\")"`:                                false,
		`base(f("fd.name")) == "shadow"`:                           true,
		`base(f("no.such.field")) == ""`:                           true,
		`dir("/etc/passwd") == "/etc"`:                             true,
		`within(f("fd.name"), "/etc")`:                             true,
		`within(f("fd.name"), "/tmp", "/var")`:                     false,
		`within("/etcetera", "/etc")`:                              false,
		`within("/etc", "/etc/")`:                                  true,
		`within("", "/")`:                                          false,
		`within("/a", "/")`:                                        true,
		`startsWithAny(f("fd.name"), "/x", "/tmp")`:                true,
		`endsWithAny(f("fd.name"), ".key", "shadow")`:              true,
		`containsAny(f("fd.name"), "no", "neither")`:               false,
		`hasWord(f("proc.cmdline"), "--privileged")`:               true,
		`hasWord(f("proc.cmdline"), "alpine")`:                     true,
		`hasWord(f("proc.cmdline"), "--priv")`:                     false,
		`public(f("fd.sip")) and private(f("fd.cip"))`:             true,
		`public(f("fd.name")) or private("")`:                      false,
		`private("::ffff:127.0.0.1")`:                              true,
		`private("100.64.1.1") and public("2001:4860:4860::8888")`: true,
		`f("proc.name") matches "^b.sh$"`:                          true,
		`any(tags, # startsWith "T1")`:                             true,
		`tags[7] == "x"`:                                           false,
		`split(f("proc.name"), "x")[3] == ""`:                      false,
	} {
		t.Run(source, func(t *testing.T) {
			c, err := compileCondition(source, conditionOptions())
			require.NoError(t, err)
			r := b.read(a)
			defer b.done(r)
			r.scope = &scope{all: map[string]*extract{"last": b.always[0].scope.find("last")}}
			require.Equal(t, want, c.holds(r))
		})
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	for source, want := range map[string]string{
		`rulle == "x"`:                "unknown name rulle (column 1)",
		`rule`:                        "expected bool, but got string",
		`f("a")`:                      "expected bool, but got string",
		`rule == 1`:                   "mismatched types string and int",
		`f(1) == ""`:                  "cannot use int as argument (type string)",
		`now() == now()`:              "unknown name now",
		`date("2024-01-01") == now()`: "unknown name date",
		`len(keys({"a": 1})) > 0`:     "unknown name keys",
		`get({}, "a")`:                "expected bool, but got interface {}",
		`rule matches "("`:            "missing closing )",
		"true and\n  ruel":            "unknown name ruel (line 2, column 3 of the condition)",
		`"abc`:                        "literal not terminated",
		`let`:                         "unexpected token",
		`let("x"`:                     "unexpected token",
	} {
		t.Run(source, func(t *testing.T) {
			_, err := compileCondition(source, conditionOptions())
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}
