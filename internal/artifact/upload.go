package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/disk"
	"github.com/longtake/longtake/internal/job"
)

// An upload goes through three states. It is open from its put on and takes chunks, each once and
// in any order. With its end it is being stored: bytes and name are compared, and what is in the
// spool is copied to JetStream. After that it has ended, with an error or without, and is forgotten
// as soon as the node has heard of it. If anything is wrong with it before, or nobody goes on with
// it, it is dropped, which makes room at once.
//
// Locks are taken in one order: the desk's, then the upload's.

// upload is an object that a node is handing in. It gets into the store when all of it is here and
// is what its name says, so that nothing else is ever found under a name.
type upload struct {
	id    string
	n     *deskNode
	q     request // the put
	began time.Time

	mu      sync.Mutex // of what follows; the spool is replaced under the desk's lock as well
	spool   spool
	have    []bool // by chunk
	left    int    // chunks that have not come
	touched time.Time
	ended   chan struct{} // closed when it was stored, or could not be; nil: that has not begun
	err     error         // of that; set before
}

// begin takes a put, and returns the id of the upload. Nothing is taken of memory or the disk
// before there is room for all of it, whatever size the node has named.
func (d *Desk) begin(ctx context.Context, n *deskNode, q request) (string, error) {
	if _, err := d.mayStore(ctx, n, q, OpPut); err != nil {
		return "", err
	}
	if err := d.mayKeep(ctx, n, q); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.uploads >= nodeUploads || len(d.uploads) >= deskUploads {
		return "", fmt.Errorf("%w: %d objects of the node are being taken, %d in all", errBusy,
			n.uploads, len(d.uploads))
	}

	// A file takes the disk twice, until the object is in the store.
	size := q.Object.Size
	inMemory := size <= spoolMost && d.memory+size <= spoolAll
	need := size
	if !inMemory {
		need = 2 * size
	}
	if need > d.o.Room() {
		return "", fmt.Errorf("%w: no room for %d bytes", ErrFull, need)
	}

	now, count := d.o.Now(), chunks(q.Object)
	u := &upload{id: rand.Text(), n: n, q: q, began: now, touched: now, left: count,
		have: make([]bool, count), spool: &fileSpool{dir: d.o.Dir}}
	if inMemory {
		u.spool = &memorySpool{chunks: make([][]byte, count)}
		d.memory += size
	}
	n.uploads++
	d.uploads[u.id] = u
	return u.id, nil
}

// find returns an upload of a node.
func (d *Desk) find(n *deskNode, id string) (*upload, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.uploads[id]
	if u == nil || u.n != n {
		return nil, errUnknownUpload
	}
	return u, nil
}

// take takes a chunk. One that cannot be a part of the object, or has no room, ends the upload.
func (d *Desk) take(n *deskNode, q request, data []byte) error {
	u, err := d.find(n, q.Upload)
	if err != nil {
		return err
	}
	if err := d.takeChunk(u, q.Chunk, data); err != nil {
		d.drop(u)
		return err
	}
	return nil
}

// takeChunk puts a chunk into the spool. Its length follows from its number: so an upload cannot
// have more bytes than were announced, nor leave a gap.
func (d *Desk) takeChunk(u *upload, i int, data []byte) error {
	o := u.q.Object
	if i >= len(u.have) || int64(len(data)) != chunkSize(o, i) {
		return fmt.Errorf("%w: %d bytes as chunk %d of %d bytes", ErrRefused, len(data), i, o.Size)
	}
	if err := d.roomFor(u, int64(len(data))); err != nil {
		return err
	}

	// Two copies of a chunk may come at the same time, where the first one's answer was late.
	u.mu.Lock()
	defer u.mu.Unlock()
	u.touched = d.o.Now()
	if u.have[i] || u.ended != nil {
		return nil // it was sent again
	}
	if err := u.spool.write(i, data); err != nil {
		return err
	}
	u.have[i] = true
	u.left--
	return nil
}

// roomFor counts bytes that go into a file. A node takes half of the room at most, so that there is
// some for the others.
func (d *Desk) roomFor(u *upload, n int64) error {
	room := d.o.Room()
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := u.spool.(*fileSpool)
	if !ok {
		return nil
	}
	if u.n.spooled+n > (room+d.spooled)/2 {
		return fmt.Errorf("%w: no room for more of the node's uploads", ErrFull)
	}
	f.counted += n
	u.n.spooled += n
	d.spooled += n
	return nil
}

// end begins to store an upload that is here, and answers how that went or that it goes on. The
// node's rights are looked up once more: its attempt may be over since it began.
func (d *Desk) end(ctx context.Context, n *deskNode, q request) answer {
	var jobs []job.ID
	u, err := d.find(n, q.Upload)
	if err == nil {
		jobs, err = d.mayStore(ctx, n, u.q, OpEnd)
	}
	if err != nil {
		return d.refuse(n, OpEnd, err)
	}

	// The first end starts it, and those that follow wait for the same.
	u.mu.Lock()
	if u.left > 0 {
		err = fmt.Errorf("%w: %d chunks have not come", ErrRefused, u.left)
	} else if u.ended == nil {
		u.ended = make(chan struct{})
		d.wg.Go(func() { d.keep(u, jobs) })
	}
	ended := u.ended
	u.touched = d.o.Now()
	u.mu.Unlock()
	if err != nil {
		d.drop(u)
		return d.refuse(n, OpEnd, err)
	}

	// A large object takes longer than a node waits for an answer.
	select {
	case <-ended:
		return d.outcome(u)
	case <-time.After(endWait):
	case <-ctx.Done():
	}
	return answer{Status: statusPending}
}

// outcome answers how storing an upload went. What passes is tried again with the next end; with
// every other answer the upload is over, and who misses that answer sends the object once more.
func (d *Desk) outcome(u *upload) answer {
	u.mu.Lock()
	err := u.err
	a := answerOf(err)
	if a.Status == statusBusy {
		u.ended, u.err = nil, nil
	}
	u.mu.Unlock()
	if a.Status == statusBusy {
		return a
	}
	d.drop(u)
	if err != nil {
		return d.refuse(u.n, OpEnd, err)
	}
	return a
}

// keep stores an upload, on a goroutine of its own since that may take longer than a request, and
// lets go of its bytes unless that may be tried again.
func (d *Desk) keep(u *upload, jobs []job.ID) {
	ctx, cancel := context.WithTimeout(d.ctx, u.limit())
	defer cancel()
	err := d.put(ctx, u)
	if answerOf(err).Status != statusBusy {
		d.mu.Lock()
		d.release(u)
		if err == nil && u.q.Key == "" {
			d.note(u.n, u.q.Object, jobs)
		}
		d.mu.Unlock()
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	u.err, u.touched = err, d.o.Now()
	close(u.ended)
}

// put checks an upload's bytes and stores them. It reads them twice: what goes into the store has
// to be known to be right from its first byte on.
func (d *Desk) put(ctx context.Context, u *upload) error {
	store, cache, err := d.behind()
	if err != nil {
		return err
	}
	u.mu.Lock()
	bytes := u.spool // which stays until this returns
	u.mu.Unlock()

	o, h := u.q.Object, sha256.New()
	if _, err := io.Copy(h, contextReader{ctx, bytes.reader()}); err != nil {
		return fmt.Errorf("cannot read an upload: %w", err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != o.SHA256 {
		return fmt.Errorf("%w: its bytes have SHA-256 %.12s..., not %.12s...", ErrRefused, sum, o.SHA256)
	}

	if u.q.Key == "" {
		return store.put(ctx, o, contextReader{ctx, bytes.reader()})
	}

	// A value that is there stays: who comes second cannot change what others have read.
	key, err := d.boundKey(ctx, u.n, OpEnd, u.q)
	if err != nil || cache == nil {
		return err
	}
	if _, err := cache.Get(ctx, key); err == nil {
		return nil
	}
	value, err := io.ReadAll(bytes.reader())
	if err != nil {
		return err
	}
	return cache.Put(ctx, key, value)
}

// release gives back what an upload's bytes take; the caller holds the desk's lock. It may be
// called again.
func (d *Desk) release(u *upload) {
	switch s := u.spool.(type) {
	case *memorySpool:
		d.memory -= u.q.Object.Size
	case *fileSpool:
		d.spooled -= s.counted
		u.n.spooled -= s.counted
	}
	u.close()
}

// close removes an upload's bytes.
func (u *upload) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.spool.close()
	u.spool = noSpool{}
}

// drop gives an upload up: it is not known any more.
func (d *Desk) drop(u *upload) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(u)
}

// remove is drop for who holds the desk's lock.
func (d *Desk) remove(u *upload) {
	if d.uploads[u.id] != u || u.storing() {
		return
	}
	delete(d.uploads, u.id)
	u.n.uploads--
	d.release(u)
}

// sweepUploads gives up what no node goes on with, until the desk ends.
func (d *Desk) sweepUploads() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
			d.sweep(d.o.Now())
		}
	}
}

// sweep is called every few seconds. It gives up the uploads that have waited too long, or take too
// long, and forgets nodes that have none.
func (d *Desk) sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.uploads {
		if u.abandoned(now) {
			d.remove(u)
		}
	}

	for id, n := range d.nodes {
		if n.requests == 0 && n.uploads == 0 && len(n.kept)+len(n.recent) == 0 {
			delete(d.nodes, id)
		}
	}
}

// limit is how long an upload may take, and storing it.
func (u *upload) limit() time.Duration {
	return uploadTime + time.Duration(u.q.Object.Size/uploadRate)*time.Second
}

// abandoned reports whether an upload has waited too long, or takes too long.
func (u *upload) abandoned(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Sub(u.touched) > uploadIdle || now.Sub(u.began) > u.limit()
}

// storing reports whether an upload is being stored.
func (u *upload) storing() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended == nil {
		return false
	}
	select {
	case <-u.ended:
		return false
	default:
		return true
	}
}

// full turns the error of a full disk into ErrFull.
func full(err error) error {
	if disk.IsFull(err) {
		return errors.Join(ErrFull, err)
	}
	return err
}
