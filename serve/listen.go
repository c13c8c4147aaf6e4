package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/resnet-go/resnet/internal/limitread"
)

// ListenOptions are how [Server.ListenAndServe] takes connections.
type ListenOptions struct {
	// Address is where to listen, such as ":8080" or "127.0.0.1:8080".
	Address string
	// Certificate and Key are PEM files for TLS; "" means none. ClientCA is a PEM file
	// of the authorities that have signed the certificates that clients must show
	// (mutual TLS). Files that are changed are read again.
	Certificate, Key, ClientCA string
	// MaxConnections is the largest number of connections; 0 means 1024. More wait
	// until others end.
	MaxConnections int
	// HeaderTimeout is how long the headers of a request may take to arrive; 0 means
	// 10 seconds.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection stays open without a request; 0 means 2
	// minutes.
	IdleTimeout time.Duration
	// Drain is how long the server still takes requests after the end of the context,
	// while it is not ready: until load balancers have noticed.
	Drain time.Duration
	// Grace is how long requests may take to be finished then; 0 means 30 seconds.
	Grace time.Duration
	// Listening is called when connections can be made; may be nil.
	Listening func(net.Addr)
	// Opened is called when the models are open, after Listening; may be nil.
	Opened func()
}

// ListenAndServe answers requests until ctx ends and those in progress are finished, and
// then closes the server. With Options.OpenLater it opens the models when connections can
// be made, and returns the error of one that cannot be opened. The error is nil if no
// request was cut off.
func (s *Server) ListenAndServe(ctx context.Context, opt ListenOptions) error {
	defer s.Close()
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&opt.HeaderTimeout, 10*time.Second)
	set(&opt.IdleTimeout, 2*time.Minute)
	set(&opt.Grace, 30*time.Second)
	if opt.MaxConnections <= 0 {
		opt.MaxConnections = 1024
	}
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: opt.HeaderTimeout, IdleTimeout: opt.IdleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	if opt.Certificate != "" || opt.Key != "" || opt.ClientCA != "" {
		files := &certificates{certificate: opt.Certificate, key: opt.Key, clientCA: opt.ClientCA, log: s.log}
		if err := files.read(); err != nil {
			return err
		}
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return files.current(), nil }}
	}
	l, err := net.Listen("tcp", opt.Address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	l = &limitedListener{Listener: l, room: make(chan struct{}, opt.MaxConnections), closed: make(chan struct{})}
	if opt.Listening != nil {
		opt.Listening(l.Addr())
	}
	ended := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			ended <- srv.ServeTLS(l, "", "")
		} else {
			ended <- srv.Serve(l)
		}
	}()
	opened := make(chan error, 1)
	go func() {
		var err error
		if s.opt.OpenLater {
			err = s.openModels(ctx)
		}
		opened <- err
	}()
	for ctx.Err() == nil {
		select {
		case err := <-ended:
			return fmt.Errorf("serve: %w", err)
		case err := <-opened:
			if ctx.Err() != nil { // which may be why
				continue
			}
			if err != nil {
				srv.Close()
				return err
			}
			if opt.Opened != nil {
				opt.Opened()
			}
		case <-ctx.Done():
		}
	}
	s.Drain()
	s.log.Info("shutting down", slog.Duration("drain", opt.Drain), slog.Duration("grace", opt.Grace))
	time.Sleep(opt.Drain)
	grace, cancel := context.WithTimeout(context.Background(), opt.Grace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
		return fmt.Errorf("serve: requests were cut off, because they took longer than %v after the signal to end", opt.Grace)
	}
	return nil
}

// limitedListener accepts a limited number of connections at once.
type limitedListener struct {
	net.Listener
	room   chan struct{} // holds a value for each connection
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// certificates are the files of TLS, read again when they change.
type certificates struct {
	certificate, key, clientCA string
	log                        *slog.Logger

	mu      sync.Mutex
	config  *tls.Config
	stamp   string    // of the files that config was made of
	checked time.Time // when the files were looked at
}

// checkEvery is how often files of TLS and of keys are looked at, at most.
const checkEvery = time.Second

// current returns the configuration by the files as they are.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) > checkEvery {
		c.checked = time.Now()
		if c.stamps() != c.stamp {
			if err := c.load(); err != nil { // while they are being replaced, for example
				c.log.Error("the files of TLS cannot be read again; the old ones stay in use", slog.String("error", err.Error()))
			} else {
				c.log.Info("the files of TLS were read again")
			}
		}
	}
	return c.config
}

func (c *certificates) read() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load()
}

// stamps returns what tells one state of the files from another.
func (c *certificates) stamps() string { return stampOf(c.certificate, c.key, c.clientCA) }

// stampOf returns what tells one state of files from another.
func stampOf(paths ...string) string {
	s := ""
	for _, path := range paths {
		if info, err := os.Stat(path); path != "" && err == nil {
			s += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), "\n")
		}
	}
	return s
}

func (c *certificates) load() error {
	if c.certificate == "" || c.key == "" {
		return errors.New("serve: TLS needs a certificate and its key: name both files")
	}
	stamp := c.stamps()
	cert, err := readPEM(c.certificate)
	if err != nil {
		return err
	}
	key, err := readPEM(c.key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("serve: TLS: the certificate %s with the key %s: %w", c.certificate, c.key, err)
	}
	// Server.ServeTLS adds the protocols to its own configuration only.
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.clientCA != "" {
		pem, err := readPEM(c.clientCA)
		if err != nil {
			return err
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("serve: TLS: %s has no certificate in PEM form", c.clientCA)
		}
	}
	c.config, c.stamp, c.checked = config, stamp, time.Now()
	return nil
}

// maxPEM is the limit of a file of certificates or of a key; a bundle of all authorities
// has a quarter of it.
const maxPEM = 1 << 20

func readPEM(path string) ([]byte, error) {
	b, err := limitread.File(path, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("serve: TLS: %w", err)
	}
	return b, nil
}
