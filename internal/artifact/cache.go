package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cache keeps values that can be made again, by keys of the caller's. The oldest values make room
// for new ones, so a value may be gone at any time. Its methods may be called from several
// goroutines, and end when ctx does.
type Cache interface {
	// Get returns a value. ErrNotFound where there is none, or only a part of it; ErrDamaged where
	// its bytes are not those that were put.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put keeps a value of up to CacheValueMax bytes. A key is made of letters, digits and hyphens.
	Put(ctx context.Context, key string, value []byte) error
}

// Limits of a cache.
const (
	// CacheValueMax is the most bytes of one value.
	CacheValueMax = 16 << 20
	// cacheChunks is how many chunks of values a cache keeps, and so how many values at most.
	cacheChunks = 256
	cacheAge    = 30 * 24 * time.Hour // after which a value goes in any case
)

// Headers of a value's first chunk.
const (
	headerChunks = "Longtake-Chunks"
	headerSHA256 = "Longtake-SHA256"
)

// cache is a Cache on a JetStream stream. Chunk i of a value is the only message with the subject
// NAME.KEY.i. Discarding old messages, unlike a bucket, makes room for new ones; it is bounded by a
// number of messages, since JetStream sets aside what a limit of bytes says.
type cache struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	name   string
}

// OpenCache opens a cache, and creates it if there is none yet; coordinators do. Of the options
// Replicas counts.
func OpenCache(ctx context.Context, nc *nats.Conn, name string, o Options) (Cache, error) {
	return openCache(nc, name, func(js jetstream.JetStream) (jetstream.Stream, error) {
		return js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name,
			Description: "what longtake need not make again", Subjects: []string{name + ".>"},
			Storage: jetstream.FileStorage, Replicas: max(o.Replicas, 1), MaxMsgs: cacheChunks,
			MaxAge: cacheAge, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardOld, AllowDirect: true})
	})
}

// BindCache opens a cache that a coordinator has opened once; nodes do.
func BindCache(ctx context.Context, nc *nats.Conn, name string) (Cache, error) {
	return openCache(nc, name, func(js jetstream.JetStream) (jetstream.Stream, error) {
		return js.Stream(ctx, name)
	})
}

// openCache opens the cache whose stream find returns.
func openCache(nc *nats.Conn, name string,
	find func(jetstream.JetStream) (jetstream.Stream, error)) (Cache, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(ackTime))
	c := &cache{js: js, name: name}
	if err == nil {
		c.stream, err = find(js)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the cache %s: %w", name, err)
	}
	return c, nil
}

// Put implements Cache. The first chunk is stored last: until then Get finds nothing of a value
// that is being stored.
func (c *cache) Put(ctx context.Context, key string, value []byte) error {
	if err := checkValue(key, value); err != nil {
		return err
	}

	// A value of no bytes has one chunk, too.
	n, sum := max(1, (len(value)+chunkBytes-1)/chunkBytes), sha256.Sum256(value)
	for i := n - 1; i >= 0; i-- {
		m := nats.NewMsg(c.subject(key, i))
		m.Data = value[i*chunkBytes : min((i+1)*chunkBytes, len(value))]
		if i == 0 {
			m.Header.Set(headerChunks, strconv.Itoa(n))
			m.Header.Set(headerSHA256, hex.EncodeToString(sum[:]))
		}
		if _, err := c.js.PublishMsg(ctx, m); err != nil {
			return fmt.Errorf("cannot keep %.80s: %w", key, refusal(err))
		}
	}
	return nil
}

// Get implements Cache.
func (c *cache) Get(ctx context.Context, key string) ([]byte, error) {
	if !isKey(key) {
		return nil, fmt.Errorf("%.80q: %w", key, ErrNotFound)
	}

	// The first chunk says how many there are.
	var value []byte
	var sum string
	for i, n := 0, 1; i < n; i++ {
		m, err := c.chunk(ctx, key, i)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			n, _ = strconv.Atoi(m.Header.Get(headerChunks))
			sum = m.Header.Get(headerSHA256)
		}
		if value = append(value, m.Data...); len(value) > CacheValueMax {
			break
		}
	}
	if got := sha256.Sum256(value); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("cannot read %.80s: %w", key, ErrDamaged)
	}
	return value, nil
}

// chunk reads chunk i of a value; the first one has headers.
func (c *cache) chunk(ctx context.Context, key string, i int) (*jetstream.RawStreamMsg, error) {
	m, err := c.stream.GetLastMsgForSubject(ctx, c.subject(key, i))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %.80s: %w", key, err)
	}
	return m, nil
}

// checkValue reports whether a value can be kept under a key.
func checkValue(key string, value []byte) error {
	if len(value) > CacheValueMax || !isKey(key) {
		return fmt.Errorf("cannot keep %d bytes as %.80q; allowed: up to %d, letters and digits",
			len(value), key, CacheValueMax)
	}
	return nil
}

// subject returns the subject of a chunk.
func (c *cache) subject(key string, chunk int) string {
	return fmt.Sprintf("%s.%s.%d", c.name, key, chunk)
}

// TextSum returns the SHA-256 of a text, in hex, by which nodes and coordinators name it.
func TextSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// isKey reports whether a key is a word of letters, digits and hyphens: one token of a subject.
func isKey(key string) bool {
	for _, r := range key {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' {
			return false
		}
	}
	return key != "" && len(key) <= 128
}
