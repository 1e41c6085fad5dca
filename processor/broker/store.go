package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// store is the directory of one broker, locked against others. The operating
// system gives the lock free when the process ends, however it ends.
type store struct {
	dir       string
	lock      *os.File
	temporary bool
}

const lockName = "falconer.lock"

// errLocked is what tryLock returns when another open file holds the lock.
var errLocked = errors.New("locked")

// openStore makes and locks dir, or a temporary directory when dir is empty.
func openStore(dir string) (*store, error) {
	if dir == "" {
		return temporaryStore()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return &store{dir: dir, lock: lock}, nil
}

func temporaryStore() (*store, error) {
	dir, err := os.MkdirTemp("", "falconer-")
	if err != nil {
		return nil, fmt.Errorf("making the broker's temporary directory: %w: set TMPDIR to a directory that can be written", err)
	}
	return &store{dir: dir, temporary: true}, nil
}

func unwritable(dir string, err error) error {
	return fmt.Errorf("opening the data directory %s: %w: choose a directory that this user may write to", dir, err)
}

// lockDir locks dir by a file in it, which says whose the lock is. The file
// stays when the lock is released: removing it could remove another's.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	err = tryLock(f)
	if errors.Is(err, errLocked) {
		err = fmt.Errorf("the data directory %s is in use by %s: stop it, or choose another directory", dir, holder(f))
	} else if err != nil {
		err = fmt.Errorf("locking the data directory %s: %w: choose a directory on a local disk", dir, err)
	} else if err = sign(f); err != nil {
		err = unwritable(dir, err)
	}
	if err != nil {
		_ = f.Close() // nothing is written, and err says more
		return nil, err
	}
	return f, nil
}

// sign writes whose the lock is.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder reads whose the lock is.
func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		return "process " + strconv.Itoa(pid)
	}
	return "another process"
}

// close gives the directory free, and removes it when it is temporary.
func (s *store) close() error {
	if s.temporary {
		return os.RemoveAll(s.dir)
	}
	return s.lock.Close()
}
