/* SPDX-License-Identifier: BSD-3-Clause
 * The concurrent ring: lanes, each with a word {position, owner, incarnation} and a published tail for each side.  A
 * producer goes to the lane of its lease, repairs there what a dead one left, and goes to the next lane only where a
 * living owner does not go on.  Consumers begin anywhere and look at all lanes.  Every process may crash between any two
 * of its shared accesses, before and after it has chosen a lane among them, and its lease goes to a new owner.
 *
 * Proved: what was published is delivered exactly once, and nothing else is; a producer's objects are delivered in order
 * unless it has stepped aside; a claim of a dead owner never outlives the next one who wants that side of that lane.
 * With -DBROKEN=n a rule is left out, and the check must fail:
 *   1  a dead owner's claim is always undone, whether it had published or not
 *   2  order is demanded of producers that stepped aside too (the exception that the header names is a real one)
 *   3  a producer begins at any lane
 *   4  recovery looks for a claim in the home lane of its owner alone
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef PUTS
#define PUTS 1 /* calls of the second producer; the first makes two */
#endif
#ifndef TAKES
#define TAKES 2 /* of the consumer */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define LANES 2
#define SLOTS 2
#define PROCS 3
#define NONE 7
#define PRODUCE 0
#define CONSUME 1
#define IDS 4 /* objects of one producer: a crash loses a number at most */

/* By side * LANES + lane. */
byte pos[4], owner[4], inc[4], tail[4];
byte slot[4]; /* lane * SLOTS + place */
bool dead[PROCS];
byte incarnation[PROCS];
byte crashes, finished;

/* Ghosts: what became of each object (0 not put, 1 published, 2 delivered), the last of each producer that was delivered,
 * and whether the producer ever stepped aside. */
byte fate[8];
byte last[2];
bool aside[2];

#define home(lease) (lease / 2) /* both producers have lane 0, the consumer's lease would have lane 1 */
#define gone(o, i) (dead[o] || incarnation[o] != i)

#define crash_point \
  if \
  :: crashes < CRASHES -> atomic { crashes++; dead[me] = true; goto died } \
  :: skip \
  fi

inline give_back(s, position) { atomic { pos[s] = position; owner[s] = NONE; inc[s] = 0 } }

inline deliver(object) {
  assert(fate[object] == 1);
  fate[object] = 2;
  assert((aside[object / IDS] && BROKEN != 2) || object % IDS + 1 > last[object / IDS]);
  last[object / IDS] = object % IDS + 1
}

/* Locals that are not needed any more have one value, to keep the number of states in bounds. */
#define forget w_pos = 0; w_owner = 0; w_inc = 0; t = 0; s = 0; tries = 0; first = 0; object = 0

proctype worker(byte me; byte side; byte calls) {
  byte w_pos, w_owner, w_inc, t, s, tries, first, object, count, n;
again:
  do
  :: count == calls -> break
  :: else ->
    atomic { /* chooses its lane */
      count++;
      if
      :: side == PRODUCE && BROKEN != 3 -> first = home(me)
      :: side == CONSUME || BROKEN == 3 -> first = 0
      :: side == CONSUME || BROKEN == 3 -> first = 1
      fi
    }
    do
    :: tries == LANES -> break
    :: else ->
      crash_point;
      atomic {
        s = side * LANES + (first + tries) % LANES;
        w_pos = pos[s]; w_owner = owner[s]; w_inc = inc[s]
      };
      if
      :: w_owner != NONE && gone(w_owner, w_inc) ->
        crash_point;
        t = (BROKEN == 1 -> w_pos : tail[s]);
        crash_point;
        atomic {
          if
          :: pos[s] == w_pos && owner[s] == w_owner && inc[s] == w_inc -> pos[s] = t; owner[s] = NONE; inc[s] = 0
          :: else -> skip
          fi;
          w_pos = 0; w_owner = 0; w_inc = 0; t = 0
        }
      :: atomic { w_owner != NONE && !gone(w_owner, w_inc) -> tries++; w_pos = 0; w_owner = 0; w_inc = 0 } /* does not go on */
      :: w_owner == NONE ->
        t = tail[(s + LANES) % (2 * LANES)];
        if
        :: side == PRODUCE && w_pos - t >= SLOTS -> break /* full */
        :: atomic { side == CONSUME && t <= w_pos -> tries++; w_pos = 0; w_owner = 0; t = 0 } /* empty */
        :: else ->
          t = 0;
          crash_point;
          atomic { /* compare and swap */
            if
            :: pos[s] == w_pos && owner[s] == NONE -> owner[s] = me; inc[s] = incarnation[me]
            :: else -> w_owner = me /* somebody was faster: look again */
            fi
          };
          if
          :: atomic { w_owner == me -> w_pos = 0; w_owner = 0 }
          :: else ->
            crash_point;
            if
            :: side == PRODUCE ->
              atomic {
                object = me * IDS + n;
                n++;
                slot[s % LANES * SLOTS + w_pos % SLOTS] = object
              };
              crash_point;
              atomic {
                tail[s] = w_pos + 1;
                fate[object] = 1;
                if
                :: s % LANES != home(me) && BROKEN != 3 -> aside[me] = true
                :: else -> skip
                fi
              }
            :: else ->
              object = slot[s % LANES * SLOTS + w_pos % SLOTS];
              crash_point;
              atomic { deliver(object); tail[s] = w_pos + 1 }
            fi;
            crash_point;
            give_back(s, w_pos + 1);
            break
          fi
        fi
      fi
    od;
    atomic { forget }
  od;
  goto done;
died:
  /* The lease goes to a new owner, who goes on; or to nobody. */
  atomic {
    forget;
    if
    :: incarnation[me]++; dead[me] = false
    :: count = calls
    fi
  };
  goto again;
done:
  finished++
}

init {
  byte s, lane, object;
  atomic {
    owner[0] = NONE; owner[1] = NONE; owner[2] = NONE; owner[3] = NONE;
    run worker(0, PRODUCE, 2); run worker(1, PRODUCE, PUTS); run worker(2, CONSUME, TAKES)
  };
  finished == PROCS;
  /* The last survivor repairs what is left, lane by lane, and takes the rest. */
  atomic {
    for (s : 0 .. 2 * LANES - 1) {
      if
      :: owner[s] != NONE && (BROKEN != 4 || home(owner[s]) == s % LANES) ->
        assert(gone(owner[s], inc[s]));
        pos[s] = tail[s]; owner[s] = NONE; inc[s] = 0
      :: else -> skip
      fi;
      assert(owner[s] == NONE && pos[s] == tail[s])
    }
    for (lane : 0 .. LANES - 1) {
      do
      :: tail[LANES + lane] == tail[lane] -> break
      :: else ->
        object = slot[lane * SLOTS + tail[LANES + lane] % SLOTS];
        deliver(object);
        tail[LANES + lane] = tail[LANES + lane] + 1
      od
    }
    for (object : 0 .. 7) { assert(fate[object] != 1) }
  }
}
