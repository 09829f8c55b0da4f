/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reclaim of what a dead process held, against living processes that take from the backend, add to it, and pass objects
 * through a ring.  D may die before any step.  R reclaims, and may die before any step once; then the next recovery
 * reclaims for both.  Every load and store of shared words is a step of its own: state word, each slot, each tag; the
 * scan of the backend reads a chunk's state and its slots in different steps, and the ring after all of them.
 *
 * Checked: nobody gets an object that another has, and in the end each object is in exactly one place.
 * With -DNESTED=1 the recovery may die too (and the others do less, to keep the number of states in bounds).
 * With -DBROKEN=n one rule is left out, and the check must fail:
 *   1  tags are freed by a plain store, without looking at them again (a CAS in the code)
 *   2  the state word says that an object has left before its tag does
 *   3  a chunk's tag is believed after a rollback
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#ifndef NESTED
#define NESTED 0
#endif

#define OBJECTS 2
#define CHUNKS 2
#define SLOTS 2    /* of a chunk */
#define NONE 255

#define D 1        /* dies */
#define S 2        /* lives */
#define R 3        /* recovers, may die */
#define Q 4        /* recovers after it */

byte owner[CHUNKS];             /* state word: 0 open, or who claimed it ... */
byte inside[CHUNKS];            /* ... and how many objects are inside */
byte chunk_tag[CHUNKS];         /* ... and while open, the tag of all of them */
byte slot[4];                   /* CHUNKS * SLOTS */
byte tag[OBJECTS];
byte ring = NONE;               /* one place */
byte ring_owner;                /* claim of a consumer */
bool dead[5];
byte hand[OBJECTS];             /* ghost: who has it; 0: the backend, the ring or nobody */
bool r_began, r_done;

/* A crash: the process stops here for ever. */
#define may_die(me) if :: me == D || (NESTED && me == R) -> dead[me] = true; goto gone :: skip fi

inline receive(me, x) {
  assert(hand[x] == 0 || dead[hand[x]]);
  hand[x] = me;
}

/* Takes one object off chunk c (if it has any), as take_from() does. */
inline take(me, c) {
  atomic { owner[c] == 0 && inside[c] > 0 -> owner[c] = me; t = chunk_tag[c] }
  may_die(me);
  x = slot[c * SLOTS + inside[c] - 1];
#if BROKEN != 2
  if
  :: t != me -> may_die(me); tag[x] = me
  :: else
  fi;
#endif
  may_die(me);
  atomic { inside[c] = inside[c] - 1; owner[c] = 0; chunk_tag[c] = t; receive(me, x) }
#if BROKEN == 2
  tag[x] = me
#endif
}

/* Adds object x to chunk c (if it has room), as add_to() does. */
inline add(me, c, x) {
  atomic { owner[c] == 0 && inside[c] < SLOTS -> owner[c] = me; t = chunk_tag[c] }
  may_die(me);
  slot[c * SLOTS + inside[c]] = x;
  may_die(me);
  atomic {
    assert(hand[x] == me);
    chunk_tag[c] = ((inside[c] == 0 || t == me) -> me : 0);
    inside[c] = inside[c] + 1; owner[c] = 0; hand[x] = 0;
  }
}

inline enqueue(me, x) { atomic { ring == NONE && ring_owner == 0 -> ring = x; assert(hand[x] == me); hand[x] = 0 } }

inline dequeue(me) {
  atomic { ring != NONE && ring_owner == 0 -> ring_owner = me }
  may_die(me);
  tag[ring] = me;
  may_die(me);
  atomic { x = ring; ring = NONE; ring_owner = 0; receive(me, x) }
}

/* One process at work, for `turns` operations. */
inline work(me, turns) {
  do
  :: n < turns ->
     n++;
     may_die(me);
     if
     :: owner[0] == 0 && inside[0] > 0 -> take(me, 0)
     :: owner[1] == 0 && inside[1] > 0 -> take(me, 1)
     :: ring != NONE && ring_owner == 0 -> dequeue(me)
     :: hand[0] == me && owner[0] == 0 && inside[0] < SLOTS -> add(me, 0, 0)
     :: hand[1] == me && owner[0] == 0 && inside[0] < SLOTS -> add(me, 0, 1)
     :: hand[0] == me && owner[1] == 0 && inside[1] < SLOTS -> add(me, 1, 0)
     :: hand[1] == me && owner[1] == 0 && inside[1] < SLOTS -> add(me, 1, 1)
     :: hand[0] == me && ring == NONE -> enqueue(me, 0)
     :: hand[1] == me && ring == NONE -> enqueue(me, 1)
     :: skip
     fi
  :: break
  od
}

inline repair(me, who) {
  for (i : 0 .. CHUNKS - 1) {
    may_die(me);
#if BROKEN == 3
    if :: owner[i] == who -> owner[i] = 0 :: else fi
#else
    if :: atomic { owner[i] == who -> owner[i] = 0; chunk_tag[i] = 0 } :: else fi
#endif
  }
  may_die(me);
  if :: atomic { ring_owner == who -> ring_owner = 0 } :: else fi
}

inline scan_backend(me) {
  for (i : 0 .. CHUNKS - 1) {
    may_die(me);
    count = inside[i];                      /* owned or not */
    if :: count > 0 -> seen[slot[i * SLOTS]] = 1 :: else fi;
    if :: count > 1 -> seen[slot[i * SLOTS + 1]] = 1 :: else fi
  }
}

inline scan_ring(me) {
  may_die(me);
  if :: atomic { ring != NONE -> seen[ring] = 1 } :: else fi
}

/* Everything for one dead process. */
inline recover(me, who) {
  seen[0] = 0; seen[1] = 0;
  repair(me, who);
  scan_backend(me);
  scan_ring(me);
  for (j : 0 .. OBJECTS - 1) {
    may_die(me);
#if BROKEN == 1
    got = (candidate[j] == who && !seen[j]);
    if :: got -> tag[j] = me :: else fi;
    if :: got -> hand[j] = me :: else fi;
#else
    atomic {                                /* the CAS */
      got = (tag[j] == who && !seen[j]);
      if :: got -> tag[j] = me; receive(me, j) :: else fi
    }
#endif
    if
    :: got ->
       may_die(me);
       if
       :: add(me, 0, j)
       :: add(me, 1, j)
       fi
    :: else
    fi
  }
}

proctype worker(byte me; byte turns) {
  byte x, n, t;
  work(me, turns);
  if
  :: me == D -> dead[D] = true              /* at last it dies in any case */
  :: else
  fi;
gone:
  skip
}

proctype recovery(byte me) {
  byte i, j, x, t, count;
  byte candidate[OBJECTS];
  bool seen[OBJECTS];
  bool got;
  if
  :: me == R -> dead[D]; r_began = true
  :: else -> dead[R]
  fi;
  candidate[0] = tag[0]; candidate[1] = tag[1];
  recover(me, D);
  if
  :: me == Q -> candidate[0] = tag[0]; candidate[1] = tag[1]; recover(me, R)
  :: else
  fi;
  r_done = true;
gone:
  skip
}

init {
  byte x, places, c;
  atomic {
    if                                       /* D has one or both, or has put one back (its tag is stale) */
    :: inside[0] = 2; slot[0] = 0; slot[1] = 1; chunk_tag[0] = D; tag[0] = D; tag[1] = D
    :: inside[0] = 1; slot[0] = 0; hand[1] = D; tag[0] = D; tag[1] = D; chunk_tag[0] = D
    :: inside[0] = 1; slot[0] = 0; hand[1] = S; tag[0] = D; tag[1] = S; chunk_tag[0] = 0
    :: ring = 0; hand[1] = D; tag[0] = D; tag[1] = D
    :: ring = 0; inside[1] = 1; slot[2] = 1; tag[0] = S; tag[1] = D; chunk_tag[1] = D
    fi;
    run worker(D, 2 - NESTED);
    run worker(S, 3 - NESTED);
    run recovery(R);
#if NESTED
    run recovery(Q);
#endif
  }
  r_done && _nr_pr <= 1 + NESTED;            /* Q waits for ever where R did not die */
  for (x : 0 .. OBJECTS - 1) {
    places = ((hand[x] != 0 && !dead[hand[x]]) -> 1 : 0) + (ring == x -> 1 : 0);
    for (c : 0 .. 3) {
      places = places + ((c % SLOTS < inside[c / SLOTS] && slot[c] == x) -> 1 : 0);
    }
    assert(places == 1);
  }
}
