package rules

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// placeholder is what stands for a value that the operator fills in.
var placeholder = regexp.MustCompile(`<[a-zA-Z0-9._\[\]-]+>`)

var (
	auditLists   = []string{"task", "exit", "user", "exclude", "filesystem", "io_uring"}
	auditActions = []string{"always", "never"}
	auditFields  = []string{
		"a0", "a1", "a2", "a3", "arch", "auid", "dir", "egid", "euid", "exe", "exit", "fsgid", "fstype", "fsuid", "gid", "inode", "key",
		"msgtype", "obj_gid", "obj_type", "obj_uid", "obj_user", "path", "perm", "pid", "ppid", "sessionid", "subj_type", "success", "uid",
	}
	auditField = regexp.MustCompile(`^([a-z_0-9]+)(!=|>=|<=|&=|=|>|<|&)(\S+)$`)
	auditPerm  = regexp.MustCompile(`^[rwxa]{1,4}$`)
	auditKey   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,31}$`)
	auditCalls = regexp.MustCompile(`^[a-z0-9_]+(,[a-z0-9_]+)*$`)
)

// auditRule reads a line of auditctl.
func auditRule(line string) string {
	words := strings.Fields(line)
	given := map[string]string{}
	arch := false
	for i := 0; i < len(words); i += 2 {
		flag := words[i]
		if slices.Contains([]string{"-D", "--loginuid-immutable"}, flag) {
			i--
			continue
		}
		if i+1 == len(words) {
			return flag + " without a value"
		}
		if problem := auditOption(flag, words[i+1], arch, given); problem != "" {
			return problem
		}
		arch = arch || strings.HasPrefix(words[i+1], "arch=")
	}
	if given["-S"] != "" && !arch {
		return "-S without arch: 32-bit calls have other numbers"
	}
	if given["perm"] != "" && given["path"] == "" && given["dir"] == "" && given["-w"] == "" {
		return "perm without path or dir"
	}
	return ""
}

func auditOption(flag, value string, arch bool, given map[string]string) string {
	given[flag] = value
	switch flag {
	case "-a", "-A", "-d":
		first, second, _ := strings.Cut(value, ",")
		if slices.Contains(auditLists, first) {
			first, second = second, first
		}
		if !slices.Contains(auditActions, first) || !slices.Contains(auditLists, second) {
			return "list and action " + value
		}
	case "-F":
		return auditCondition(value, given)
	case "-S":
		if !arch {
			return "-S before arch"
		}
		if !auditCalls.MatchString(value) {
			return "system calls " + value
		}
	case "-p":
		if !auditPerm.MatchString(value) {
			return "permissions " + value
		}
	case "-w":
		if !strings.HasPrefix(value, "/") {
			return "watch of " + value
		}
	case "-k":
		if !auditKey.MatchString(value) {
			return "key " + value
		}
	case "-b", "-f", "-e", "-r":
		if _, err := strconv.Atoi(value); err != nil {
			return flag + " wants a number"
		}
	case "-C":
	default:
		return "unknown option " + flag
	}
	return ""
}

func auditCondition(value string, given map[string]string) string {
	m := auditField.FindStringSubmatch(value)
	if m == nil || !slices.Contains(auditFields, m[1]) {
		return "condition " + value
	}
	given[m[1]] = m[3]
	switch {
	case m[1] == "arch" && !slices.Contains([]string{"b32", "b64"}, m[3]):
		return "arch " + m[3]
	case m[1] == "perm" && (m[2] != "=" || !auditPerm.MatchString(m[3])):
		return "permissions " + m[3]
	case (m[1] == "path" || m[1] == "dir" || m[1] == "exe") && m[3][0] != '/' && !placeholder.MatchString(m[3]):
		return m[1] + " wants a whole path"
	}
	return ""
}

var mountOptions = []string{
	"defaults", "rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "auto", "noauto", "user", "nouser", "users",
	"nofail", "bind", "rbind", "remount", "private", "shared", "slave", "relatime", "noatime", "nodiratime", "strictatime", "hidepid", "gid", "uid",
	"mode", "size", "nr_inodes", "_netdev", "nosymfollow", "x-systemd.requires-mounts-for", "subset",
}

// fstabLine reads a line of /etc/fstab.
func fstabLine(line string) string {
	f := strings.Fields(line)
	if len(f) != 4 && len(f) != 6 {
		return fmt.Sprintf("%d fields", len(f))
	}
	if !strings.HasPrefix(f[1], "/") && f[1] != "none" && !placeholder.MatchString(f[1]) {
		return "mount point " + f[1]
	}
	for option := range strings.SplitSeq(f[3], ",") {
		if name, _, _ := strings.Cut(option, "="); !slices.Contains(mountOptions, name) {
			return "mount option " + option
		}
	}
	for _, number := range f[4:] {
		if !slices.Contains([]string{"0", "1", "2"}, number) {
			return "dump or pass " + number
		}
	}
	return ""
}

// sysctls are the settings that playbooks write, with the greatest value of each.
var sysctls = map[string]int{
	"dev.tty.ldisc_autoload": 1, "fs.protected_fifos": 2, "fs.protected_hardlinks": 1, "fs.protected_regular": 2, "fs.protected_symlinks": 1,
	"fs.suid_dumpable": 2, "kernel.dmesg_restrict": 1, "kernel.io_uring_disabled": 2, "kernel.kexec_load_disabled": 1, "kernel.kptr_restrict": 2,
	"kernel.modules_disabled": 1, "kernel.perf_event_paranoid": 4, "kernel.randomize_va_space": 2, "kernel.sysrq": 511,
	"kernel.unprivileged_bpf_disabled": 2, "kernel.unprivileged_userns_clone": 1, "kernel.yama.ptrace_scope": 3, "net.core.bpf_jit_harden": 2,
	"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 2, "net.ipv4.conf.all.route_localnet": 1, "user.max_user_namespaces": 1 << 20,
	"vm.memfd_noexec": 2, "vm.unprivileged_userfaultfd": 1, "vm.mmap_min_addr": 65536,
}

// sysctlLine reads a line of sysctl.d.
func sysctlLine(line string) string {
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.TrimSpace(strings.TrimPrefix(name, "-")), strings.TrimSpace(value)
	greatest, known := sysctls[strings.ReplaceAll(name, "/", ".")]
	if !ok || !known {
		return "no setting that we know"
	}
	if n, err := strconv.Atoi(value); err != nil || n < -1 || n > greatest {
		return "value " + value
	}
	return ""
}

var kernelParameter = regexp.MustCompile(`^[a-z][A-Za-z0-9_.-]*(=\S+)?$`)

func kernelParameters(line string) string {
	for word := range strings.FieldsSeq(line) {
		if !kernelParameter.MatchString(word) {
			return "parameter " + word
		}
	}
	return ""
}

// What sshd_config(5) and ssh_config(5) list, as far as playbooks write it.
var (
	sshdKeywords = []string{
		"AcceptEnv", "AllowAgentForwarding", "AllowGroups", "AllowStreamLocalForwarding", "AllowTcpForwarding", "AllowUsers", "AuthenticationMethods",
		"AuthorizedKeysCommand", "AuthorizedKeysCommandUser", "AuthorizedKeysFile", "AuthorizedPrincipalsFile", "Banner", "ChrootDirectory",
		"ClientAliveCountMax", "ClientAliveInterval", "DenyGroups", "DenyUsers", "DisableForwarding", "ForceCommand", "GatewayPorts",
		"KbdInteractiveAuthentication", "ListenAddress", "LogLevel", "LoginGraceTime", "Match", "MaxAuthTries", "MaxSessions", "MaxStartups",
		"PasswordAuthentication", "PermitEmptyPasswords", "PermitListen", "PermitOpen", "PermitRootLogin", "PermitTTY", "PermitTunnel",
		"PermitUserEnvironment", "PermitUserRC", "PubkeyAuthentication", "Port", "RevokedKeys", "StrictModes", "SyslogFacility",
		"TrustedUserCAKeys", "UsePAM", "X11Forwarding",
	}
	sshKeywords = []string{
		"AddKeysToAgent", "BatchMode", "CertificateFile", "ForwardAgent", "Host", "HostName", "IdentitiesOnly", "IdentityAgent", "IdentityFile", "Match",
		"PermitLocalCommand", "Port", "ProxyCommand", "ProxyJump", "StrictHostKeyChecking", "User", "UserKnownHostsFile",
	}
)

// keyword makes a reader of lines that begin with one of the words.
func keyword(tool string, words []string) func(string) string {
	return func(line string) string {
		name, value, _ := strings.Cut(line, " ")
		if !slices.Contains(words, name) || strings.TrimSpace(value) == "" {
			return tool + " knows no such line"
		}
		return ""
	}
}

var (
	sudoersAlias = regexp.MustCompile(`^(User|Runas|Host|Cmnd)_Alias [A-Z][A-Z0-9_]* = \S.*$`)
	sudoersRule  = regexp.MustCompile(`^(%?[a-z_<][a-zA-Z0-9_.<>-]*|[A-Z][A-Z0-9_]*) [A-Z0-9a-z_.]+ ?= ?(\([a-z_A-Z:]+\) ?)?((NO)?(PASSWD|EXEC): ?)*(!?(ALL|[A-Z][A-Z0-9_]*|/\S[^,]*))(, ?!?(ALL|[A-Z][A-Z0-9_]*|/\S[^,]*))*$`)
)

func sudoersLine(line string) string {
	if !sudoersAlias.MatchString(line) && !sudoersRule.MatchString(line) && !strings.HasPrefix(line, "Defaults") {
		return "neither an alias, a rule nor Defaults"
	}
	return ""
}

var aptSetting = regexp.MustCompile(`^[A-Za-z]+(::[A-Za-z-]+)+ "[^"]*";$`)

func aptLine(line string) string {
	if !aptSetting.MatchString(line) {
		return `not of the form Name::Name "value";`
	}
	return ""
}

// systemdKeys are the sections of units, and of journald.conf, with the
// directives that playbooks write.
var systemdKeys = map[string][]string{
	"Unit": {"Description", "After", "Before", "Requires", "Wants", "ConditionPathExists"},
	"Service": {
		"AmbientCapabilities", "AppArmorProfile", "BindPaths", "BindReadOnlyPaths", "CacheDirectory", "CapabilityBoundingSet", "CPUQuota", "DeviceAllow", "DevicePolicy", "DynamicUser", "Environment", "EnvironmentFile",
		"ExecPaths", "ExecStart", "ExecStartPre", "Group", "InaccessiblePaths", "IPAddressAllow", "IPAddressDeny", "KeyringMode", "LimitCORE", "LimitNOFILE", "LimitNPROC", "LoadCredential", "LockPersonality", "LogsDirectory",
		"MemoryDenyWriteExecute", "MemoryMax", "NoExecPaths", "NoNewPrivileges", "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateNetwork",
		"PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
		"ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RemoveIPC", "Restart",
		"RestrictAddressFamilies", "RestrictFileSystems", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "RootDirectory", "RuntimeDirectory",
		"RuntimeMaxSec", "SecureBits", "SocketBindAllow", "SocketBindDeny", "StateDirectory", "SupplementaryGroups", "SystemCallArchitectures", "SystemCallErrorNumber",
		"SystemCallFilter", "TasksMax", "TemporaryFileSystem", "Type", "UMask", "User", "WorkingDirectory",
	},
	"Mount":   {"What", "Where", "Type", "Options"},
	"Install": {"WantedBy", "RequiredBy"},
	"Journal": {"Storage", "Seal", "Compress", "SystemMaxUse", "MaxRetentionSec", "ForwardToSyslog", "RateLimitIntervalSec", "RateLimitBurst"},
}

// systemdValues are the values of directives that have few.
var systemdValues = map[string][]string{
	"DevicePolicy":  {"auto", "closed", "strict"},
	"ProtectHome":   {"yes", "no", "true", "false", "read-only", "tmpfs"},
	"ProtectProc":   {"noaccess", "invisible", "ptraceable", "default"},
	"ProtectSystem": {"yes", "no", "true", "false", "full", "strict"},
	"Storage":       {"volatile", "persistent", "auto", "none"},
}

// dnfKeys are those of dnf.conf and of a repository.
var dnfKeys = map[string][]string{"main": {"gpgcheck", "localpkg_gpgcheck", "repo_gpgcheck", "exclude", "installonly_limit", "clean_requirements_on_remove"}}

var systemdSwitch = regexp.MustCompile(`^(NoNewPrivileges|Private[A-Z][A-Za-z]+|Protect(Kernel[A-Za-z]+|Clock|Hostname|ControlGroups)|Lock[A-Z][a-z]+|Restrict(SUIDSGID|Realtime)|MemoryDenyWriteExecute|DynamicUser|Seal|Compress)$`)

// sections makes a reader of files in sections of which each has its keys.
func sections(known map[string][]string) func(string) []string {
	return func(body string) []string {
		section := ""
		return lines(func(line string) string {
			if strings.HasPrefix(line, "[") {
				section = strings.Trim(line, "[]")
				if known[section] == nil {
					return "unknown section"
				}
				return ""
			}
			key, value, ok := strings.Cut(line, "=")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			switch allowed := systemdValues[key]; {
			case !ok || !slices.Contains(known[section], key):
				return fmt.Sprintf("no key of section %q that we know", section)
			case allowed != nil && !slices.Contains(allowed, value):
				return fmt.Sprintf("want one of %q", allowed)
			case systemdSwitch.MatchString(key) && !slices.Contains([]string{"yes", "no", "true", "false", "1", "0"}, value):
				return "want yes or no"
			case strings.HasSuffix(key, "Paths"):
				return wholePaths(value)
			case strings.HasPrefix(key, "IPAddress"):
				return networks(value)
			}
			return ""
		})(body)
	}
}

func wholePaths(value string) string {
	for path := range strings.FieldsSeq(value) {
		if path = strings.TrimLeft(path, "-+"); !strings.HasPrefix(path, "/") && !placeholder.MatchString(path) {
			return "path " + path
		}
	}
	return ""
}

func networks(value string) string {
	for word := range strings.FieldsSeq(value) {
		_, errNet := netip.ParsePrefix(word)
		_, errIP := netip.ParseAddr(word)
		if errNet != nil && errIP != nil && !placeholder.MatchString(word) && !slices.Contains([]string{"any", "localhost", "link-local", "multicast"}, word) {
			return "network " + word
		}
	}
	return ""
}

// shellFile reads lines of a shell's start file.
func shellFile(body string) []string {
	if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(body), ""); err != nil {
		return []string{err.Error()}
	}
	return nil
}

var rsyslogAction = regexp.MustCompile(`^\S+ action\((\s*[A-Za-z.]+="[^"]*")+\s*\)$`)

func rsyslogFile(body string) []string {
	if flat := strings.Join(strings.Fields(body), " "); !rsyslogAction.MatchString(flat) {
		return []string{"not a selector and an action(name=\"value\" ...)"}
	}
	return nil
}

var apparmorProfileLine = regexp.MustCompile(`^(#include <[a-z/_.-]+>|include <[a-z/_.-]+>|profile \S+ (flags=\([a-z_,]+\) )?\{|\}|(deny |audit |owner )*(network|capability|file|umount|mount|signal|ptrace|dbus|unix|change_profile|pivot_root|/\S*|@\{[A-Z]+\}\S*)( [^,]*(, [^,]*)*)?,)$`)

// apparmorProfile reads a profile: its rules end with a comma, and it ends.
func apparmorProfile(body string) []string {
	problems := lines(func(line string) string {
		if !apparmorProfileLine.MatchString(line) {
			return "not a rule, and each ends with a comma"
		}
		return ""
	})(strings.ReplaceAll(body, "#include", "include"))
	if rest := strings.ReplaceAll(body, "@{", ""); strings.Count(rest, "profile ") != 1 || !strings.HasSuffix(strings.TrimSpace(rest), "}") {
		problems = append(problems, "not one whole profile")
	}
	return problems
}

var lineBites = []bite{
	{"auditd", "perm without a path", "-a always,exit -F arch=b64 -F path=/x -F perm=wa -k k", "-a always,exit -F perm=wa -k k", "perm without path"},
	{"auditd", "a list that there is not", "-a always,exit -F path=/x -F perm=wa", "-a always,exits -F path=/x -F perm=wa", "list and action"},
	{"auditd", "calls before arch", "-a always,exit -F arch=b64 -S execve,execveat -k x", "-a always,exit -S execve -F arch=b64", "-S before arch"},
	{"auditd", "a field that there is not", "-a always,exit -F auid>=1000", "-a always,exit -F loginuid>=1000", "condition"},
	{"auditd", "a key with a space", "-w /x -p wa -k a", "-w /x -p wa -k a b", "without a value"},
	{"fstab", "an option that there is not", "tmpfs /x tmpfs noexec,nosuid 0 0", "tmpfs /x tmpfs no-exec 0 0", "mount option"},
	{"fstab", "a field too few", "tmpfs /x tmpfs noexec 0 0", "tmpfs /x tmpfs noexec 0", "5 fields"},
	{"sysctl", "a setting that there is not", "kernel.yama.ptrace_scope = 1", "kernel.ptrace_scope = 1", "no setting"},
	{"sysctl", "a value too great", "kernel.yama.ptrace_scope = 3", "kernel.yama.ptrace_scope = 4", "value 4"},
	{"kernel-command-line", "an assignment with spaces", "a.b=1 c", "a = 1", "parameter ="},
	{"sshd", "a misspelt keyword", "PermitRootLogin no", "PermitRoot no", "knows no such line"},
	{"ssh", "a keyword of sshd", "ForwardAgent no", "PermitRootLogin no", "knows no such line"},
	{"sudoers", "a rule without hosts", "%ops ALL = (root) ALL, !X", "%ops (root) ALL", "neither"},
	{"apt", "no semicolon", `A::B "false";`, `A::B "false"`, "not of the form"},
	{"systemd", "a misspelt directive", "[Service]\nProtectHome=yes", "[Service]\nProtectHomes=yes", "no key"},
	{"systemd", "a directive in another section", "[Service]\nNoNewPrivileges=yes", "[Unit]\nNoNewPrivileges=yes", "no key"},
	{"systemd", "a value that there is not", "[Service]\nProtectSystem=strict", "[Service]\nProtectSystem=all", "want one of"},
	{"systemd", "a switch half way", "[Service]\nNoNewPrivileges=yes", "[Service]\nNoNewPrivileges=strict", "want yes or no"},
	{"systemd", "a path that is none", "[Service]\nReadOnlyPaths=-/x", "[Service]\nReadOnlyPaths=x", "path x"},
	{"systemd", "a network that is none", "[Service]\nIPAddressDeny=any", "[Service]\nIPAddressDeny=10.0.0/8", "network"},
	{"journald", "a value that there is not", "[Journal]\nStorage=persistent", "[Journal]\nStorage=disk", "want one of"},
	{"dnf", "an unknown section", "[main]\ngpgcheck=1", "[dnf]\ngpgcheck=1", "unknown section"},
	{"rsyslog", "a quote that does not end", `*.* action(type="omfwd" target="x")`, `*.* action(type="omfwd)`, "not a selector"},
	{"apparmor", "no comma", "profile x {\n deny /x/** mx,\n}", "profile x {\n deny /x/** mx\n}", "comma"},
	{"apparmor", "no end", "profile x {\n file,\n}", "profile x {\n file,\n", "whole profile"},
	{"shell", "a quote that does not end", "export A='x'", "export A='x", "quote"},
}
