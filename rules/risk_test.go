package rules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChanges(t *testing.T) {
	for line, want := range map[string]bool{
		"ls -la":                                false,
		"rm -- x":                               true,
		"/usr/bin/rm x":                         true,
		"mkfs.ext4 /dev/sdb":                    true,
		"wipefs --no-act /dev/sdb":              false,
		"passwd --status root":                  false,
		"kubectl get pods":                      false,
		"kubectl -n shop delete pod/x":          true,
		"kubectl delete pod/x --dry-run=server": false,
		"kubectl auth can-i delete pods":        false,
		"kubectl exec pod/x -- rm y":            false, // the other program's
		"docker inspect web":                    false,
		"docker stop web":                       true,
		"iptables -F":                           true,
		"iptables -L":                           false,
		"aws iam list-users":                    false,
		"aws iam delete-user --user-name x":     true,
		"systemctl status x":                    false,
		"systemctl stop x":                      true,
	} {
		require.Equal(t, want, changes(strings.Fields(line)), line)
	}
}
