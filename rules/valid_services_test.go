package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Forms of the lines of services' configuration.
var (
	phpSetting    = regexp.MustCompile(`^[a-z_.]+ = \S.*$`)
	npmSetting    = regexp.MustCompile(`^[a-z@:/.-]+=\S.*$`)
	gitlabSetting = regexp.MustCompile(`^[a-z_]+(\['[a-z_0-9]+'\])+ = \S.*$`)
	javaOption    = regexp.MustCompile(`^-(D[a-zA-Z0-9.]+=\S+|XX:[+-]?[A-Za-z]+(=\S+)?)$`)
	redisUser     = regexp.MustCompile(`^user \S+ (on|off)( ([+-]@?[a-z|]+|[~%&]\S+|allkeys|allchannels|allcommands|nopass|reset[a-z]*|[>#]\S+))+$`)
	redisSetting  = regexp.MustCompile(`^(bind|protected-mode|rename-command|aclfile|port|unixsocket|enable-(protected-configs|debug-command|module-command)) \S.*$`)
	sqlStatement  = regexp.MustCompile(`^(ALTER (ROLE|SYSTEM SET|USER|DATABASE)|REVOKE|GRANT|CREATE (ROLE|USER)|DROP (ROLE|USER)) [^;]+;$`)
)

// likeThis makes a reader of lines that look so.
func likeThis(want *regexp.Regexp) func(string) []string {
	return lines(func(line string) string {
		if !want.MatchString(line) {
			return "not of the form " + want.String()
		}
		return ""
	})
}

func redisLine(line string) string {
	if !redisUser.MatchString(line) && !redisSetting.MatchString(line) {
		return "neither a user nor a setting that we know"
	}
	return ""
}

// keyed makes a reader of YAML or JSON whose keys, with those above them, are these.
func keyed(known ...string) func(string) []string {
	return func(body string) (problems []string) {
		var tree map[string]any
		if err := strictYAML(body, &tree); err != nil {
			return []string{err.Error()}
		}
		var walk func(prefix string, m map[string]any)
		walk = func(prefix string, m map[string]any) {
			for _, key := range sortedKeys(m) {
				below, ok := m[key].(map[string]any)
				switch {
				case ok:
					walk(prefix+key+".", below)
				case !slices.Contains(known, prefix+key):
					problems = append(problems, fmt.Sprintf("unknown key %q", prefix+key))
				}
			}
		}
		walk("", tree)
		return problems
	}
}

// What services know, as far as playbooks write it.
var (
	dockerKeys = []string{
		"hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "userns-remap", "no-new-privileges", "icc", "live-restore", "seccomp-profile",
		"selinux-enabled", "log-driver", "authorization-plugins", "userland-proxy",
	}
	mongodKeys = []string{"net.bindIp", "net.port", "net.tls.mode", "security.authorization", "security.javascriptEnabled"}
	mysqlKeys  = map[string][]string{"mysqld": {"secure_file_priv", "local_infile", "bind-address", "skip-name-resolve"}}
	pnpmKeys   = []string{"packages", "onlyBuiltDependencies", "ignoredBuiltDependencies", "minimumReleaseAge", "minimumReleaseAgeExclude", "strictDepBuilds", "trustPolicy"}
)

// nginxDirectives are those that playbooks write, with whether a block follows.
var nginxDirectives = map[string]bool{
	"http": true, "if": true, "limit_except": true, "location": true, "map": true, "server": true, "upstream": true,
	"access_log": false, "add_header": false, "allow": false, "auth_request": false, "client_body_timeout": false, "client_header_timeout": false,
	"client_max_body_size": false, "deny": false, "disable_symlinks": false, "include": false, "internal": false, "large_client_header_buffers": false,
	"limit_conn": false, "limit_conn_zone": false, "limit_req": false, "limit_req_status": false, "limit_req_zone": false, "listen": false,
	"log_format": false, "merge_slashes": false, "modsecurity": false, "modsecurity_rules_file": false, "proxy_hide_header": false,
	"proxy_http_version": false, "proxy_pass": false, "proxy_set_header": false, "resolver": false, "return": false, "root": false, "server_name": false,
	"server_tokens": false, "set": false, "ssl_protocols": false, "ssl_reject_handshake": false, "try_files": false, "alias": false, "autoindex": false,
	"error_page": false, "rewrite": false,
}

// nginxToken is a quoted word, an edge of a block, an end, or a bare word, in which
// a variable and a repetition may have braces.
var nginxToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|(?:\$\{[a-z_]+\}|\\.|[^\s{};"'\\])(?:\$\{[a-z_]+\}|\\.|[^\s{};\\])*`)

// nginxFile reads directives, each with its end, and blocks, each with its own.
func nginxFile(body string) (problems []string) {
	depth, name, words := 0, "", 0
	bare := regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(body, "")
	if rest := strings.TrimSpace(nginxToken.ReplaceAllString(bare, "")); rest != "" {
		problems = append(problems, fmt.Sprintf("%q is no word", rest))
	}
	for _, token := range nginxToken.FindAllString(bare, -1) {
		block, known := nginxDirectives[name]
		switch token {
		case "}":
			depth--
			if name != "" {
				problems = append(problems, name+" without its semicolon")
			}
		case "{", ";":
			if !known || block != (token == "{") {
				problems = append(problems, fmt.Sprintf("no directive %q that ends with %s", name, token))
			}
			if token == "{" {
				depth++
			}
		default:
			if words++; words == 1 {
				name = token
			}
			continue
		}
		name, words = "", 0
	}
	if name != "" || depth != 0 {
		problems = append(problems, "without an end")
	}
	return problems
}

var serviceBites = []bite{
	{"npmrc", "spaces for the sign", "ignore-scripts=true", "ignore-scripts true", "not of the form"},
	{"pnpm-workspace", "a misspelt key", "minimumReleaseAge: 1", "minimumReleaseAges: 1", "unknown key"},
	{"php.ini", "no value", "a = b", "a", "not of the form"},
	{"nginx", "no semicolon", "location /x { deny all; }", "location /x { deny all }", "semicolon"},
	{"nginx", "no end", "location ~ \"[.]{2}\" { deny all; }", "location /x { deny all;", "without an end"},
	{"nginx", "a directive that there is not", "deny all;", "denies all;", "no directive"},
	{"nginx", "a quote that does not end", "add_header X \"a b\";", "add_header X \"a b;", "is no word"},
	{"nginx", "braces of an expression without quotes", "location ~ \"a{2}\" { return 404; }", "location ~ a{2} { return 404; }", "no directive"},
	{"gitlab.rb", "no key", "gitlab_rails['a'] = false", "gitlab_rails = false", "not of the form"},
	{"java", "a space", "-Djdk.serialFilter=!*", "-D jdk.serialFilter=!*", "not of the form"},
	{"redis", "a category without a sign", "user a on +@all -@dangerous allkeys", "user a on @all", "neither a user"},
	{"postgresql", "no semicolon", "REVOKE x FROM y;", "REVOKE x FROM y", "not of the form"},
	{"mysql", "a setting that there is not", "[mysqld]\nsecure_file_priv = NULL", "[mysqld]\nsecure_files = NULL", "no key"},
	{"docker", "a key that there is not", `{"icc": false}`, `{"iccs": false}`, "unknown key"},
	{"mongod", "a key in another place", "security: {authorization: enabled}", "net: {authorization: enabled}", "unknown key"},
}
