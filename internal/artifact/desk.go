package artifact

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

// Limits of a desk. A node here is all that runs under one identity: a process with its GPUs.
const (
	// nodeRequests and deskRequests are how many requests are being answered at a time, each of which
	// may hold a chunk.
	nodeRequests, deskRequests = 32, 256
	// nodeUploads and deskUploads are how many objects are being taken at a time.
	nodeUploads, deskUploads = 16, 256
	// uploadIdle is how long an upload waits for its next chunk, and what has ended for who asks
	// again. uploadTime bounds it in all; a second more is given for each uploadRate bytes.
	uploadIdle, uploadTime = time.Minute, 10 * time.Minute
	uploadRate             = 1 << 20
	// grantTime is how long a node's rights are taken for what they were; grantPause lies between two
	// looks at them, however many requests are refused.
	grantTime, grantPause = 250 * time.Millisecond, 20 * time.Millisecond
	// nodeObjects is how many objects a node may have stored to which no job refers. Where there are
	// more, or too large ones, the coordinator looks whether that is still so, once in keptPauses
	// times grantPause.
	nodeObjects = 64
	keptPauses  = 50
	// nodeRecent is how many objects are remembered as the node's own: it reports one after the other.
	nodeRecent = 64
	// endWait is how long the end of an upload is waited for before the node is told to ask again.
	endWait = 2 * time.Second
	// readTime bounds the reading of a chunk, and sweepEvery lies between looks for what was given up.
	readTime, sweepEvery = 4 * time.Second, 5 * time.Second
)

// Grant is what a node may do at a time: it follows from the jobs whose live attempts it works on.
type Grant struct {
	// Jobs are those, of a node that works: it may store objects. BytesMax bounds those to which no
	// job refers yet.
	Jobs     []job.ID
	BytesMax int64
	// Objects are those that it may read, by name. It may also read what other nodes have stored that
	// work on the same Jobs: ranks share some objects before they are recorded, or without.
	Objects map[string]job.Object
	// Texts are those whose values in the cache it reaches, by their TextSum, with the owners of the
	// jobs that have them: owners share nothing.
	Texts map[string]string
}

// DeskOptions say what a desk knows of nodes and of the disk. All functions may be called from any
// goroutine.
type DeskOptions struct {
	// Dir is a folder for uploads that are too large for memory. What is in it is deleted.
	Dir string
	// Grant returns what a node may do. An error says that it is not known at present.
	Grant func(identity string) (Grant, error)
	// Unknown returns those names of objects to which no job refers.
	Unknown func(names []string) []string
	// Room returns how many bytes the disk may still take of nodes.
	Room func() int64
	// Refused hears what was refused, and why.
	Refused func(identity, op string, err error)
	// Now is the time; nil: time.Now.
	Now func() time.Time
}

// Desk is where nodes that have no rights in JetStream hand objects in and out: the coordinators'
// side of Remote. Its methods may be called from any goroutine.
type Desk struct {
	o     DeskOptions
	pause time.Duration   // grantPause, but in tests
	ctx   context.Context // ends with the desk
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu       sync.Mutex // of what follows
	store    *bucket    // nil until Use
	cache    *cache
	nodes    map[string]*deskNode // by identity
	uploads  map[string]*upload   // by their ids
	stored   map[string]*stored   // objects that came of late, by name
	requests int                  // that are being answered
	memory   int64                // bytes of uploads in memory,
	spooled  int64                // and in files
	closed   bool
}

// stored is an object that nodes have stored, each for the jobs that it worked on.
type stored struct {
	o  job.Object
	by map[*deskNode][]job.ID
}

// deskNode is what a desk knows of a node. The desk's lock guards what counts, looking the grant.
type deskNode struct {
	identity          string
	requests, uploads int
	spooled           int64            // bytes of its uploads in files
	kept              map[string]int64 // sizes of objects that it has stored, perhaps for no job
	looked            time.Time        // when it was last found out which those are
	recent            []string         // names of those that it has stored last

	looking sync.Mutex
	grant   Grant
	at      time.Time // when grant was looked up
}

// NewDesk returns a desk, which answers that it is busy until Use. The caller closes it.
func NewDesk(o DeskOptions) (*Desk, error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, fmt.Errorf("cannot delete unfinished uploads: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Desk{o: o, pause: grantPause, nodes: map[string]*deskNode{}, uploads: map[string]*upload{},
		stored: map[string]*stored{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.wg.Go(d.sweepUploads)
	return d, nil
}

// Use gives the desk what Open and OpenCache have returned; a nil cache keeps nothing.
func (d *Desk) Use(s Store, c Cache) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.store, _ = s.(*bucket)
	d.cache, _ = c.(*cache)
}

// Close gives up what is under way and waits for it.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
	for _, u := range d.uploads {
		u.close()
	}
}

// Serve answers a node's request; identity and op are what the message's subject says, which only
// that node may use. It does not wait: NATS calls it for one message after the other, of all nodes.
// A request that wants no answer is not worth a look.
func (d *Desk) Serve(identity, op string, m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	n := d.enter(identity)
	if n == nil {
		d.respond(m, answerOf(fmt.Errorf("%w: too many requests at a time", errBusy)), nil)
		return
	}
	go func() {
		defer d.leave(n)
		a, data := d.handle(n, op, m)
		d.respond(m, a, data)
	}()
}

// enter counts a request, or returns nil where there are too many.
func (d *Desk) enter(identity string) *deskNode {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[identity]
	if n == nil {
		n = &deskNode{identity: identity, kept: map[string]int64{}}
	}
	if d.closed || d.requests >= deskRequests || n.requests >= nodeRequests {
		return nil
	}
	d.nodes[identity] = n
	d.requests++
	n.requests++
	d.wg.Add(1)
	return n
}

// leave undoes enter.
func (d *Desk) leave(n *deskNode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests--
	n.requests--
	d.wg.Done()
}

// respond answers a message. A node that is not answered asks again.
func (d *Desk) respond(m *nats.Msg, a answer, data []byte) {
	out := pack(headerAnswer, a, data)
	_ = m.RespondMsg(out)
}

// handle does what a message asks for.
func (d *Desk) handle(n *deskNode, op string, m *nats.Msg) (a answer, data []byte) {
	q, err := unpack[request](headerRequest, m)
	if err == nil {
		err = q.check(op, len(m.Data))
	}
	if err != nil {
		return d.refuse(n, op, fmt.Errorf("%w: %w", ErrRefused, err)), nil
	}

	ctx, cancel := context.WithTimeout(d.ctx, readTime)
	defer cancel()

	// Each of these looks at the node's rights by itself.
	switch {
	case op == OpPut:
		a.Upload, err = d.begin(ctx, n, q)
	case op == OpChunk:
		err = d.take(n, q, m.Data)
	case op == OpEnd:
		return d.end(ctx, n, q), nil
	case q.Key == "":
		data, err = d.get(ctx, n, q)
	default:
		a, data, err = d.getValue(ctx, n, q)
	}
	if err != nil {
		return d.refuse(n, op, err), nil
	}
	a.Status = statusOK
	return a, data
}

// refuse returns the answer of an error, and tells of one that an honest node does not get.
func (d *Desk) refuse(n *deskNode, op string, err error) answer {
	a := answerOf(err)
	if a.Status == statusRefused {
		d.o.Refused(n.identity, op, err)
	}
	return a
}

// get reads a chunk of an object that the node may read. What it may not is not there for it, and
// the coordinator tells of it.
func (d *Desk) get(ctx context.Context, n *deskNode, q request) ([]byte, error) {
	ok, err := d.may(ctx, n, false, func(g Grant) bool {
		o, ok := g.Objects[q.Object.Name]
		return (ok && o == q.Object || d.shares(q.Object, g.Jobs)) && q.Chunk < chunks(q.Object)
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		err := fmt.Errorf("%.80s is no object of its jobs: %w", q.Object.Name, ErrNotFound)
		d.o.Refused(n.identity, OpGet, err)
		return nil, err
	}

	store, _, err := d.behind()
	if err != nil {
		return nil, err
	}
	return store.chunk(ctx, q.Object, q.Chunk)
}

// getValue reads a chunk of a value of the cache.
func (d *Desk) getValue(ctx context.Context, n *deskNode, q request) (a answer, _ []byte,
	err error) {
	key, err := d.boundKey(ctx, n, OpGet, q)
	if err != nil {
		return a, nil, err
	}
	_, cache, err := d.behind()
	if err != nil {
		return a, nil, err
	}
	if cache == nil {
		return a, nil, ErrNotFound
	}

	// Only the first chunk has these headers.
	m, err := cache.chunk(ctx, key, q.Chunk)
	if err != nil {
		return a, nil, err
	}
	a.Chunks, _ = strconv.Atoi(m.Header.Get(headerChunks))
	a.SHA256 = m.Header.Get(headerSHA256)
	return a, m.Data, nil
}

// behind returns what the desk hands out from.
func (d *Desk) behind() (*bucket, *cache, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		return nil, nil, fmt.Errorf("%w: the object store is not open yet", errBusy)
	}
	return d.store, d.cache, nil
}
