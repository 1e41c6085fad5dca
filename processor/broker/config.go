package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"
)

// Config says what a Broker keeps and who may reach it. The zero value is a
// broker in memory without a port.
type Config struct {
	// Listen is the one address to listen on, such as "127.0.0.1:4222"; port 0 or
	// -1 takes any free port. Empty opens no port: only Connect reaches the broker.
	Listen string
	// Dir is where streams are kept; it is created for this user alone. Empty
	// keeps them in memory: see Broker.Memory.
	//
	// The server flushes Dir to disk every two minutes. The end of the process
	// loses nothing that was acknowledged; a power cut may lose what came since.
	Dir string
	// User and Password are asked of every client of the port. A password without
	// a user is for the user "falconer". Addresses beyond loopback need a password.
	User, Password string
	// MaxMemory and MaxStore limit, in bytes, what streams may hold in memory and
	// in Dir. Zero means three quarters of the memory, and of the free disk.
	MaxMemory, MaxStore int64
	// Log takes what the server says: its notices at debug level, its debug words
	// at trace level. The zero value is silent.
	Log zerolog.Logger
}

const defaultUser = "falconer"

// maxPassword is bcrypt's limit in bytes.
const maxPassword = 72

// address is a parsed Config.Listen.
type address struct {
	host string
	port int
}

func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// loopback reports whether only this machine can reach the address.
func (a address) loopback() bool {
	return a.host == "localhost" || net.ParseIP(a.host).IsLoopback()
}

func parseAddress(listen string) (address, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return address{}, fmt.Errorf("listen address %q: want host:port, such as 127.0.0.1:4222", listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < -1 || port > 65535 {
		return address{}, fmt.Errorf("listen address %q: want a port from 0 to 65535, where 0 is any free one", listen)
	}
	return address{host, max(port, 0)}, nil
}

func (c Config) validate() error {
	if c.User != "" && c.Password == "" {
		return errors.New("the broker has a user but no password: set FALCONER_BROKER_PASSWORD")
	}
	if len(c.Password) > maxPassword {
		return fmt.Errorf("the broker's password is longer than %d bytes: choose a shorter one", maxPassword)
	}
	if c.MaxMemory < 0 || c.MaxStore < 0 {
		return errors.New("the broker's memory and store limits must not be negative: 0 leaves them to the server")
	}
	if c.Listen == "" {
		return nil
	}
	addr, err := parseAddress(c.Listen)
	if err != nil {
		return err
	}
	if c.Password == "" && !addr.loopback() {
		return fmt.Errorf("listening on %s without a password would let anyone who reaches it read and forge alerts: "+
			"set FALCONER_BROKER_PASSWORD or listen on 127.0.0.1", c.Listen)
	}
	return nil
}

func (c Config) user() string {
	if c.User == "" && c.Password != "" {
		return defaultUser
	}
	return c.User
}

// options are the server's, for a valid c. Signals stay with the program, and
// no monitoring, profiling or cluster port is opened.
func (c Config) options(storeDir string) (*server.Options, error) {
	opts := &server.Options{
		ServerName:             "falconer",
		Host:                   "127.0.0.1",
		DontListen:             c.Listen == "",
		NoSigs:                 true,
		NoLog:                  true, // Start sets its own logger
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               storeDir,
		JetStreamMaxMemory:     c.MaxMemory,
		JetStreamMaxStore:      c.MaxStore,
	}
	if c.Listen == "" {
		return opts, nil
	}
	addr, err := parseAddress(c.Listen)
	if err != nil {
		return nil, err
	}
	opts.Host, opts.Port = addr.host, addr.port
	if addr.port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, c.guard(opts)
}

// guard sets the password, hashed: the server takes any password that looks
// like a hash for one, and warns of those that do not.
func (c Config) guard(opts *server.Options) error {
	if c.Password == "" {
		return nil
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(c.Password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("hashing the broker's password: %w", err)
	}
	opts.Username, opts.Password = c.user(), string(hash)
	return nil
}
