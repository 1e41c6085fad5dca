package rules

import (
	"path"
	"slices"
	"strings"
)

// changing are programs whose every use changes something, and the words of others
// that do. No list of such can be complete: it catches slips, not lies.
var changing = map[string][]string{
	"rm": nil, "dd": nil, "shred": nil, "wipefs": nil, "mkfs": nil, "kill": nil, "pkill": nil, "killall": nil, "reboot": nil, "shutdown": nil,
	"chmod": nil, "chown": nil, "chattr": nil, "mv": nil, "truncate": nil, "userdel": nil, "usermod": nil, "groupdel": nil, "passwd": nil, "modprobe": nil,
	"kubectl":   {"delete", "apply", "create", "patch", "scale", "drain", "cordon", "uncordon", "taint", "label", "annotate", "edit", "replace", "set"},
	"docker":    {"rm", "rmi", "stop", "kill", "pause", "unpause", "restart", "update", "prune"},
	"podman":    {"rm", "rmi", "stop", "kill", "pause", "unpause", "restart", "update", "prune"},
	"crictl":    {"rm", "rmi", "rmp", "stop", "stopp"},
	"systemctl": {"stop", "restart", "disable", "mask", "enable", "start", "kill", "reload"},
	"iptables":  {"-A", "-D", "-F", "-I", "-P", "-X", "--append", "--delete", "--flush", "--insert", "--policy"},
	"nft":       {"add", "delete", "flush", "insert"},
	"sysctl":    {"-w", "--write"},
	"mount":     {"-o"},
	"git":       {"push", "filter-repo"},
}

// changes reports whether a command line that is said only to look does more.
func changes(run []string) bool {
	program := path.Base(run[0])
	if strings.HasPrefix(program, "mkfs.") {
		return true
	}
	words, known := changing[program]
	if slices.ContainsFunc(run, looks) {
		return false
	}
	switch {
	case !known:
		return program == "aws" && slices.ContainsFunc(run[1:min(4, len(run))], changesCloud)
	case words == nil:
		return true
	}
	// What stands behind "--" is another program's, or a value.
	end := len(run)
	if i := slices.Index(run, "--"); i > 0 {
		end = i
	}
	return slices.ContainsFunc(run[1:end], func(a string) bool { return slices.Contains(words, a) }) && !slices.Contains(run[1:end], "can-i")
}

// looks reports whether an option keeps a program from doing what it is for.
func looks(arg string) bool {
	return strings.HasPrefix(arg, "--dry-run") || arg == "--no-act" || arg == "--status"
}

// changesCloud reports whether a word is an operation of AWS that changes something.
func changesCloud(operation string) bool {
	for _, verb := range []string{"delete-", "put-", "update-", "create-", "attach-", "detach-", "terminate-", "stop-", "start-", "modify-", "remove-", "revoke-"} {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}
