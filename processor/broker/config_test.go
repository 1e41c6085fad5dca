package broker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want string // in the error; empty for none
	}{
		{name: "nothing at all is a broker in memory without a port"},
		{name: "IPv4 loopback needs no password", cfg: Config{Listen: "127.0.0.1:4222"}},
		{name: "any of 127/8 is loopback", cfg: Config{Listen: "127.8.8.8:4222"}},
		{name: "IPv6 loopback needs no password", cfg: Config{Listen: "[::1]:4222"}},
		{name: "localhost needs no password", cfg: Config{Listen: "localhost:4222"}},
		{name: "port 0 is any free port", cfg: Config{Listen: "127.0.0.1:0"}},
		{name: "port -1 is any free port", cfg: Config{Listen: "127.0.0.1:-1"}},
		{name: "with a password every address will do", cfg: Config{Listen: "0.0.0.0:4222", Password: "s3cret"}},
		{
			name: "all addresses need a password", cfg: Config{Listen: "0.0.0.0:4222"},
			want: "set FALCONER_BROKER_PASSWORD or listen on 127.0.0.1",
		},
		{name: "no host means all addresses", cfg: Config{Listen: ":4222"}, want: "FALCONER_BROKER_PASSWORD"},
		{name: "all IPv6 addresses need a password", cfg: Config{Listen: "[::]:4222"}, want: "FALCONER_BROKER_PASSWORD"},
		{name: "a name may be any address", cfg: Config{Listen: "nats.example:4222"}, want: "FALCONER_BROKER_PASSWORD"},
		{name: "a private address is not loopback", cfg: Config{Listen: "10.0.0.1:4222"}, want: "FALCONER_BROKER_PASSWORD"},
		{name: "a user alone protects nothing", cfg: Config{Listen: ":4222", User: "me"}, want: "user but no password"},
		{name: "a port needs a host", cfg: Config{Listen: "4222"}, want: "want host:port"},
		{name: "a port is a number", cfg: Config{Listen: "127.0.0.1:nats"}, want: "want a port from 0 to 65535"},
		{name: "a port has 16 bits", cfg: Config{Listen: "127.0.0.1:65536"}, want: "want a port from 0 to 65535"},
		{name: "a password has at most 72 bytes", cfg: Config{Password: strings.Repeat("x", 73)}, want: "longer than 72 bytes"},
		{name: "limits are not negative", cfg: Config{MaxStore: -1}, want: "must not be negative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.cfg.validate()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}
