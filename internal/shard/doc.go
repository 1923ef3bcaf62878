// Package shard is a node among coordinators: it loads a model on a device, registers with the
// coordinators, takes orders to run one rank of a job, and reports. What a rank computes is package
// engine's; a node passes on what that reports, as its engine.Host.
//
// A Shard is one node, with one device and at most one rank at work. It speaks package wire over
// the coordinators' NATS (the control plane), and owns its end of the data plane, over which the
// ranks of an attempt exchange activations. A Machine is the shards of one process, one for each of
// its GPUs.
//
// # The life of an attempt
//
// An order to start (wire.StartOrder) is checked against the model and accepted if the node is
// idle; the answer says so at once. The rank then joins the data plane under the job's id and the
// attempt's number, and the engine runs it. While it runs, heartbeats say how far it is and for how
// long it has computed without a sign of progress; answers to them may tell it to stop or to yield,
// as orders do. At its end the node tells the leader until a leader has heard it: rank 0 its
// result, or any rank why it failed. Then the node is idle again.
//
// # Goroutines
//
// Shard.live registers and sends heartbeats, and never computes. NATS calls onStart, onStop and
// onRoutes from one goroutine for each subscription. Each rank has a goroutine (Shard.run), and
// once it was told to stop another one that watches whether it does (Shard.fence). What they share
// is behind Shard.mu, atomic, or in a type with a lock of its own.
//
// # Caveats
//
// The id of a node is new with every start: what a coordinator knows of a node ends with its
// process. A rank that does not return keeps the device, so the node stays busy; after two minutes
// the process has to end, which Err says. Nothing here changes settings of the process:
// Config.AfterLoad and Config.ReleaseMemory are where a program does.
package shard
