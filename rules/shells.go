package rules

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Quoting for the shell makes a value one argument. What the program then does
// with it is another matter: some take an argument as a program in a language
// of its own. These rules keep values out of such programs.

// shells run the argument behind -c. A value has its place behind the script:
// sh -c 'cat -- "$1"' sh {fd.name}
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "zsh", "fish", "su", "runuser"}

// interpreters run the argument behind -c, -e or -r likewise.
var interpreters = []string{"python", "python3", "perl", "ruby", "node", "php", "lua", "psql", "mysql"}

// joiners give all their arguments to a shell, maybe on another machine.
var joiners = []string{"ssh", "eval", "watch", "xargs", "parallel", "script"}

// runners run what an argument names, or take it for their own script, wherever
// it stands.
var runners = []string{"source", ".", "trap", "tmux", "screen", "flock", "systemd-run", "at", "batch", "pwsh", "powershell", "busybox", "socat", "git"}

// filters have a program as their first operand. A value may only be a whole
// argument behind it, or be handed over: --arg name {value}, -v name={value}.
var filters = []string{"awk", "gawk", "mawk", "sed", "jq", "yq"}

// wrappers run the program that their arguments name.
var wrappers = []string{"sudo", "doas", "env", "nohup", "timeout", "nice", "ionice", "setsid", "chroot", "exec", "command", "time", "strace", "unshare"}

// findExec are find's actions that run the next argument.
var findExec = []string{"-exec", "-execdir", "-ok", "-okdir"}

var codeFlag = regexp.MustCompile(`^-[a-zA-Z]*[cer]$`)

// vetVector looks for values in places where they would be run, and marks the
// arguments that let only plain values in.
func vetVector(v vector) error {
	if len(v) == 0 {
		return errors.New("an empty command; want a list of a program and its arguments")
	}
	if name, ok := v[0].literalText(); !ok || name == "" {
		return errors.New("the program itself must not come from the alert: write its name")
	}
	running := ""
	for i := range v {
		literal, isLiteral := v[i].literalText()
		if !isLiteral {
			if err := vetArgument(v, i, running); err != nil {
				return err
			}
			continue
		}
		if program := path.Base(literal); knownProgram(program) {
			running = program
		}
	}
	return nil
}

// wrapperArgument is what may stand between a wrapper and its program: options,
// numbers and durations, assignments.
var wrapperArgument = regexp.MustCompile(`^(-.*|[0-9.]+[smhd]?|[A-Za-z_][A-Za-z0-9_]*=.*)$`)

// runsNext reports whether argument i is taken for a program: by a wrapper, or
// by kubectl behind its "--", which is the first one.
func runsNext(v vector, i int) bool {
	before, _ := v[i-1].literalText()
	if before == "--" {
		return v[:i].has("kubectl", "oc") && v[:i].has("exec", "debug", "run") && !v[:i-1].has("--")
	}
	for j := i - 1; j >= 0; j-- {
		word, _ := v[j].literalText()
		if slices.Contains(wrappers, path.Base(word)) {
			return i == 1 || word != "exec"
		}
		if !wrapperArgument.MatchString(word) {
			return false
		}
	}
	return false
}

// has reports whether one of the words is an argument as it stands.
func (v vector) has(words ...string) bool {
	return slices.ContainsFunc(v, func(a argument) bool {
		text, literal := a.literalText()
		return literal && slices.Contains(words, text)
	})
}

// vetPipe refuses to run what comes through a pipe.
func vetPipe(v vector) error {
	if len(v) == 0 {
		return nil
	}
	name, _ := v[0].literalText()
	second := ""
	if len(v) > 1 {
		second, _ = v[1].literalText()
	}
	if slices.Contains(shells, path.Base(name)) && (len(v) == 1 || second == "-s" || second == "-") {
		return fmt.Errorf("what comes through the pipe would be run by %s", name)
	}
	return nil
}

func knownProgram(name string) bool {
	return slices.Contains(shells, name) || slices.Contains(interpreters, name) || slices.Contains(joiners, name) || slices.Contains(filters, name) || slices.Contains(runners, name)
}

// vetArgument looks at argument i, which has placeholders, of the program that
// runs it: the last one of those above that is named before.
func vetArgument(v vector, i int, running string) error {
	before, _ := v[i-1].literalText()
	isCode := codeFlag.MatchString(before)
	switch {
	case v[i].template[0].name != "" && runsNext(v, i):
		return fmt.Errorf("a value of the alert behind %s would be run as a program", before)
	case isCode && (slices.Contains(shells, running) || slices.Contains(interpreters, running)):
		return fmt.Errorf("a value of the alert inside the script of %s %s would be run; hand it over behind the script and use \"$1\" there", running, before)
	case slices.Contains(runners, running):
		return fmt.Errorf("a value of the alert among the arguments of %s may be run by it", running)
	case slices.Contains(findExec, before):
		return fmt.Errorf("a value of the alert behind %s would be run as a program", before)
	case slices.Contains(joiners, running):
		v[i].plain = true
	case slices.Contains(filters, running) && !handedOver(v, i):
		return fmt.Errorf("a value of the alert inside the program of %s would be run; hand it over: jq --arg name {value}, awk -v name={value}", running)
	}
	for _, p := range v[i].template {
		if p.name == "" && strings.ContainsAny(p.text, "\"'`$\\") {
			v[i].plain = true
		}
	}
	return nil
}

// handedOver reports whether argument i of a filter is data to it.
func handedOver(v vector, i int) bool {
	if before, _ := v[i-1].literalText(); before == "-v" {
		return v[i].template[0].name == ""
	}
	behindProgram := slices.ContainsFunc(v[1:i], func(a argument) bool {
		text, literal := a.literalText()
		return literal && !strings.HasPrefix(text, "-")
	})
	return behindProgram && len(v[i].template) == 1
}
