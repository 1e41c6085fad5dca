package processor

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestHideSecrets(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		// Variables and assignments.
		{"a variable", "PASSWORD=hunter2 ./run", "PASSWORD=[redacted] ./run"},
		{"a variable with a prefix", "DB_PASSWORD=hunter2", "DB_PASSWORD=[redacted]"},
		{"a variable whose prefix is not set apart", "PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"},
		{"MySQL's variable", "MYSQL_PWD=hunter2 mysql", "MYSQL_PWD=[redacted] mysql"},
		{"sshpass's variable", "SSHPASS=hunter2 sshpass -e ssh h", "SSHPASS=[redacted] sshpass -e ssh h"},
		{"Redis's variable", "REDISCLI_AUTH=hunter2", "REDISCLI_AUTH=[redacted]"},
		{"a key", "AWS_SECRET_ACCESS_KEY=abc/def+1", "AWS_SECRET_ACCESS_KEY=[redacted]"},
		{"a key by another name", "SECRET_KEY=abc", "SECRET_KEY=[redacted]"},
		{"a storage account's key", "AccountName=x;AccountKey=abc==;Suffix=y", "AccountName=x;AccountKey=[redacted];Suffix=y"},
		{"a name in camel case", "clientSecret=abc&x=1", "clientSecret=[redacted]&x=1"},
		{"a quoted value", `password="two words" next`, "password=[redacted] next"},
		{"a value in single quotes", `password='two words' next`, "password=[redacted] next"},
		{"a quote inside a quoted value", `password="a\"b" next`, "password=[redacted] next"},
		{"a quoted value that was cut", `x password="two wor`, "x password=[redacted]"},
		{"a value in single quotes that was cut", `x password='two wor`, "x password=[redacted]"},
		{"a bare value that was cut", "token=abcdef[...]", "token=[redacted]"},
		{"spaces around the sign", "password = hunter2", "password = [redacted]"},
		{"a comparison", "password == hunter2", "password == [redacted]"},
		{"a connection string", "Server=s;Uid=sa;Pwd=hunter2;", "Server=s;Uid=sa;Pwd=[redacted];"},
		{"a value in a list of options", "mount -o username=u,password=hunter2,vers=3", "mount -o username=u,password=[redacted],vers=3"},
		{"a Helm value", "helm install --set auth.password=hunter2", "helm install --set auth.password=[redacted]"},
		{"a Kubernetes literal", "--from-literal=password=hunter2", "--from-literal=password=[redacted]"},
		{"a query", "https://h/?a=1&token=abc&b=2", "https://h/?a=1&token=[redacted]&b=2"},
		{"several at once", "password=a token=b secret=c", "password=[redacted] token=[redacted] secret=[redacted]"},

		// Headers, JSON, YAML.
		{"JSON", `{"user":"u","password":"hunter2","n":1}`, `{"user":"u","password":[redacted],"n":1}`},
		{"JSON with spaces", `{"client_secret": "hunter2"}`, `{"client_secret": [redacted]}`},
		{"JSON inside JSON", `{\"password\":\"hunter2\",\"n\":1}`, `{\"password\":[redacted],\"n\":1}`},
		{"YAML", "password: hunter2", "password: [redacted]"},
		{"YAML with a value that begins like a path", "password: /x9/k", "password: [redacted]"},
		{"OpenSSL's form", "openssl enc -pass pass:hunter2 -in f", "openssl enc -pass [redacted] -in f"},
		{"a header", "curl -H 'X-Api-Key: hunter2' h", "curl -H 'X-Api-Key: [redacted]' h"},
		{"a header without a space", "curl -HX-Auth-Token:hunter2 h", "curl -HX-Auth-Token:[redacted] h"},
		{"basic authorization", "Authorization: Basic dTpw", "Authorization: Basic [redacted]"},
		{"basic authorization in JSON", `{"Authorization": "Basic dTpw"}`, `{"Authorization": "Basic [redacted]"}`},
		{"a bearer token", "authorization: bearer abc.def", "authorization: bearer [redacted]"},
		{"a bearer token by itself", "Bearer abcdefghijklmnop==", "Bearer [redacted]"},

		// Options.
		{"an option and its value", "tool --password hunter2 -v", "tool --password [redacted] -v"},
		{"an option with one dash", "consul -token abc-def", "consul -token [redacted]"},
		{"an option with a prefix", "tool --db-password hunter2", "tool --db-password [redacted]"},
		{"an option and a quoted value", `tool --pass "two words" x`, "tool --pass [redacted] x"},
		{"an option with a sign", "tool --api-key=hunter2", "tool --api-key=[redacted]"},
		{"an AWS setting", "aws configure set aws_secret_access_key abc/def", "aws configure set aws_secret_access_key [redacted]"},

		// Clients.
		{"mysql", "mysql -uroot -phunter2 db", "mysql -uroot -p[redacted] db"},
		{"mysql by its path", "/usr/bin/mysqldump -h h -phunter2", "/usr/bin/mysqldump -h h -p[redacted]"},
		{"mysql with a sign in the password", "mysqladmin -ph=nter2", "mysqladmin -p[redacted]"},
		{"sshpass", "sshpass -p hunter2 ssh h", "sshpass -p [redacted] ssh h"},
		{"sshpass without a space", "sshpass -phunter2 ssh h", "sshpass -p[redacted] ssh h"},
		{"docker login", "docker login -u u -p hunter2 reg", "docker login -u u -p [redacted] reg"},
		{"mysql after a tab", "mysql\t-phunter2", "mysql\t-p[redacted]"},
		{"Samba's net", "net ads join -U admin%hunter2", "net ads join -U admin%[redacted]"},
		{"curl", "curl -u admin:hunter2 https://h", "curl -u admin:[redacted] https://h"},
		{"curl with joined options", "curl -sSku admin:hunter2 https://h", "curl -sSku admin:[redacted] https://h"},
		{"curl with the long option", "curl --user=admin:hunter2 https://h", "curl --user=admin:[redacted] https://h"},
		{"redis-cli", "redis-cli -h h -a hunter2 info", "redis-cli -h h -a [redacted] info"},
		{"credentials in an address", "git clone https://u:hunter2@host/x", "git clone https://u:[redacted]@host/x"},
		{"credentials without a user", "redis://:hunter2@host:6379/0", "redis://:[redacted]@host:6379/0"},
		{"a password with an at sign in an address", "https://u:p@ss@host/x", "https://u:[redacted]@host/x"},

		// Forms.
		{"an AWS access key", "key AKIAIOSFODNN7EXAMPLE.", "key [redacted]."},
		{"a GitHub token", "x ghp_0123456789abcdefghijABCDEFGHIJ y", "x [redacted] y"},
		{"a fine-grained GitHub token", "github_pat_0123456789abcdefghij_X", "[redacted]"},
		{"a GitLab token", "glpat-0123456789abcdefg", "[redacted]"},
		{"a Slack token", "xoxb-0123456789-abc", "[redacted]"},
		{"a JWT", "x eyJhbGciOiJI.eyJzdWIiOiIx.sig-nature_1 y", "x [redacted] y"},
		{"a private key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----"},
		{"a private key that was cut", "-----BEGIN PRIVATE KEY-----\nMIIEow", "-----BEGIN PRIVATE KEY-----[redacted]"},
		{"a letter that folds to an s", "pa\u017fsword=hunter2", "pa\u017fsword=[redacted]"},
		{"letters around a secret stay whole", "é password=hünter2 é", "é password=[redacted] é"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := hideSecrets(row.in)
			require.Equal(t, row.want, got)
			require.Equal(t, got, hideSecrets(got), "what is hidden stays as it is")
			require.True(t, utf8.ValidString(got))
		})
	}
}

// What is no secret is evidence, and stays.
func TestHideSecretsLeavesEvidence(t *testing.T) {
	for _, v := range []string{
		"cat /etc/passwd", "vi /etc/shadow /etc/passwd- /etc/passwd", "-v /etc/passwd:/etc/passwd:ro", "/secrets:/run/secrets/db_password:ro",
		"/home/u/.ssh/authorized_keys", "/root/.ssh/id_rsa", "/run/secrets/kubernetes.io/serviceaccount/token",
		"/var/lib/kubelet/pods/1/volumes/kubernetes.io~secret/default-token-abcde:/var/run/secrets:false",
		"tool --password-file /x", "tool --password-file=/x", "rsync --password-file=/etc/rsync.pw a b", "tool --token-ttl 5m", "tool --password --verbose",
		"passwd root", "/usr/bin/passwd -l eve", "chpasswd", "sudo passwd", "login -p -h node root", "/bin/login -p root",
		"key=value a=b", "keyword=x", "monkey=x", "sort -key 2", "key: value", "bypass=1", "compass=north", "tokens=5", "tokenizer=bpe", "passive=1", "secrets=many",
		"PWD=/root", "OLDPWD=/home/eve", "pwd", "cd $(pwd)",
		"token_review", "tokenreviews.authentication.k8s.io", "POST /apis/authentication.k8s.io/v1/tokenreviews",
		"kubectl get secret foo", "kubectl get secrets -A", "kubectl create token eve", "secretsdump", "secretsdump.py DOMAIN/user@10.0.0.1",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf", "std::token::Kind", "system:serviceaccount:kube-system:token-cleaner",
		"ssh://host:22/path", "http://host:8080/a@b", "https://host/path?x=a:b@c", "git@github.com:org/repo", "scp u@h:/f .", "10.0.0.1:22->10.0.0.2:51234",
		"mysql -u root -p db", "mysql -P 3306 --protocol tcp", "ssh -p 22 host", "mkdir -p /a/b", "docker run -p 80:80 nginx", "curl -u : --negotiate h", "curl -o /tmp/x https://h:443/y",
		"bearer of news", "the authorization failed", "ghost high light", "EYJAFJALLAJOKULL", "eyJ", "xoxo",
		"-----BEGIN CERTIFICATE-----\nMIIE", "-----BEGIN PUBLIC KEY-----\nMIIE",
		"", "plain", Redacted, strings.Repeat("pass ", 300),
	} {
		require.Equal(t, v, hideSecrets(v))
	}
}

func TestRedactAlert(t *testing.T) {
	a := &Alert{Rule: "r", Output: "ran PASSWORD=hunter2", Fields: map[string]string{
		"proc.cmdline": "mysql -phunter2", "proc.name": "mysql", "proc.env[DB_PASSWORD]": "hunter2", "proc.aenv[API_TOKEN]": "hunter2", "proc.env[PATH]": "/bin",
		"proc.env[PWD]": "/root",
	}}
	a.redact(RedactStandard)
	require.Equal(t, "ran PASSWORD=[redacted]", a.Output)
	require.Equal(t, map[string]string{
		"proc.cmdline": "mysql -p[redacted]", "proc.name": "mysql", "proc.env[DB_PASSWORD]": Redacted, "proc.aenv[API_TOKEN]": Redacted, "proc.env[PATH]": "/bin",
		"proc.env[PWD]": "/root",
	}, a.Fields)
	require.Equal(t, []string{"what looked like a secret was replaced by [redacted]"}, a.Notes)

	plain := &Alert{Rule: "r", Output: "ran", Fields: map[string]string{"proc.cmdline": "cat /etc/passwd"}}
	plain.redact(RedactStandard)
	require.Empty(t, plain.Notes, "nothing found, nothing said")

	open := &Alert{Rule: "r", Output: "PASSWORD=hunter2"}
	open.redact(RedactOff)
	require.Equal(t, "PASSWORD=hunter2", open.Output)
	e := examined{alert: open, values: map[string]string{"proc.env[DB_PASSWORD]": "hunter2"}}
	e.redact(RedactOff)
	require.Equal(t, map[string]string{"proc.env[DB_PASSWORD]": "hunter2"}, e.values, "what an identity rests on neither")
}

// A change of what forms need must not switch one off.
func TestSignsCoverEveryForm(t *testing.T) {
	for _, form := range []string{
		"passwd=x1", "passphrase=x1", "credential=x1", "auth_key=x1", "https://u:x1@h", "mariadb -px1", "az login -p x1", "curl -u a:x1 h", "redis-cli -a x1",
		"ASIAIOSFODNN7EXAMPLE", "gho_0123456789abcdefghijABC", "xoxp-0123456789",
	} {
		require.Contains(t, hideSecrets(form), Redacted, form)
	}
}

func FuzzHideSecrets(f *testing.F) {
	for _, v := range []string{"password=x", `{"token":"a\"b"}`, "mysql -px", "https://u:p@h", "-----BEGIN PRIVATE KEY-----x", "curl -u a:b"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if !utf8.ValidString(v) {
			return
		}
		got := hideSecrets(v)
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), len(v)*(len(Redacted)+1))
	})
}
