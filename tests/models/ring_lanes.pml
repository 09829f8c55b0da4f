/* SPDX-License-Identifier: BSD-3-Clause
 * The concurrent ring: lanes, each with a word {position, owner, incarnation} and a published tail for each side.  The
 * first HELD lanes can be held: a producer claims one, puts there, and does not give it back; one whose holder is dead is
 * repaired and claimed by the next who comes.  Who finds them all held by the living shares the others, turn by turn,
 * and goes from its shared lane to another only where a living owner does not go on.  Consumers begin anywhere and look
 * at all lanes.  Every process may crash between any two of its shared accesses, before and after it has chosen a lane
 * among them, and its lease goes to a new owner, who chooses anew.
 *
 * Proved, for each number of lanes that can be held: what was published is delivered exactly once, and nothing else is; a
 * producer's objects are delivered in order unless it has stepped aside; a claim of a dead owner never outlives the next
 * one who wants that side of that lane.
 * With -DBROKEN=n a rule is left out, and the check must fail:
 *   1  a dead owner's claim is always undone, whether it had published or not
 *   2  order is demanded of producers that stepped aside too (the exception that the header names is a real one)
 *   3  a producer chooses its lane anew with each call
 *   4  recovery looks for a claim in the lane that its owner's lease would share alone
 *   5  a lane is taken from its holder whether it is dead or not
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef HELD
#define HELD 1 /* of the lanes */
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
#define IDS 2 /* objects of one producer; the next owner of its lease is another producer */

/* By side * LANES + lane. */
byte pos[4], owner[4], inc[4], tail[4];
byte slot[4]; /* lane * SLOTS + place */
bool dead[PROCS];
byte incarnation[PROCS];
byte crashes, finished;

/* Ghosts: what became of each object (0 not put, 1 published, 2 delivered), the last of each producer that was delivered,
 * and whether the producer ever stepped aside. */
byte fate[8];
byte last[4];
bool aside[4];

#if HELD < LANES
#define shared_home(lease) (HELD + (lease / 2) % (LANES - HELD)) /* both producers share the first */
#else
#define shared_home(lease) NONE
#endif
#define gone(o, i) (dead[o] || incarnation[o] != i)

#define crash_point \
  if \
  :: crashes < CRASHES -> atomic { crashes++; dead[me] = true; goto died } \
  :: skip \
  fi

inline deliver(object) {
  assert(fate[object] == 1);
  fate[object] = 2;
  assert((aside[object / IDS] && BROKEN != 2) || object % IDS + 1 > last[object / IDS]);
  last[object / IDS] = object % IDS + 1
}

/* Looks at the word of side and lane s, and repairs what a dead owner left there; then the word is nobody's, or that of
 * somebody alive. */
inline look_and_repair() {
  atomic { w_pos = pos[s]; w_owner = owner[s]; w_inc = inc[s] };
  if
  :: w_owner != NONE && (gone(w_owner, w_inc) || (BROKEN == 5 && s < HELD && w_owner != me)) ->
    crash_point;
    t = (BROKEN == 1 -> w_pos : tail[s]);
    crash_point;
    atomic {
      if
      :: pos[s] == w_pos && owner[s] == w_owner && inc[s] == w_inc -> pos[s] = t; owner[s] = NONE; inc[s] = 0
      :: else -> skip
      fi;
      w_pos = pos[s]; w_owner = owner[s]; w_inc = inc[s]; t = 0
    }
  :: else -> skip
  fi
}

/* Locals that are not needed any more have one value, to keep the number of states in bounds. */
#define forget w_pos = 0; w_owner = 0; w_inc = 0; t = 0; s = 0; tries = 0; first = 0; object = 0; producer = 0

proctype worker(byte me; byte side; byte calls) {
  byte w_pos, w_owner, w_inc, t, s, tries, first, object, count, n;
  byte choice = NONE, producer;
again:
  do
  :: count == calls -> break
  :: else ->
    count++;
    if
    :: atomic { BROKEN == 3 && side == PRODUCE && choice != NONE && owner[choice] != me -> choice = NONE }
    :: else -> skip
    fi;
    /* A producer that has chosen nothing yet goes through the lanes that can be held. */
    do
    :: side == CONSUME || choice != NONE -> break
    :: side == PRODUCE && choice == NONE && tries == HELD -> choice = shared_home(me)
    :: side == PRODUCE && choice == NONE && tries < HELD ->
      crash_point;
      s = (me + tries) % HELD;
      look_and_repair();
      if
      :: w_owner == NONE ->
        crash_point;
        atomic { /* compare and swap */
          if
          :: pos[s] == w_pos && owner[s] == NONE -> owner[s] = me; inc[s] = incarnation[me]; choice = s
          :: else -> tries++ /* somebody was faster */
          fi
        }
      :: else -> tries++
      fi
    od;
    if
    :: side == CONSUME -> first = 0
    :: side == CONSUME -> first = 1
    :: side == PRODUCE -> first = choice
    fi;
    tries = 0;
    do
    :: first == NONE || tries == LANES || (side == PRODUCE && choice < HELD && tries == 1) -> break
    :: side == PRODUCE && choice >= HELD && (first + tries) % LANES < HELD && tries < LANES -> tries++ /* no shared lane */
    :: else ->
      crash_point;
      s = side * LANES + (first + tries) % LANES;
      if
      :: side == PRODUCE && choice < HELD -> atomic { w_pos = pos[s]; w_owner = owner[s] }; assert(w_owner == me)
      :: else -> look_and_repair()
      fi;
      if
      :: w_owner != NONE && !(side == PRODUCE && choice < HELD) -> tries++ /* does not go on */
      :: else ->
        t = tail[(s + LANES) % (2 * LANES)];
        if
        :: side == PRODUCE && w_pos - t >= SLOTS -> break /* full */
        :: side == CONSUME && t <= w_pos -> tries++ /* empty */
        :: else ->
          t = 0;
          crash_point;
          if
          :: side == PRODUCE && choice < HELD -> skip /* it is ours */
          :: else ->
            atomic { /* compare and swap */
              if
              :: pos[s] == w_pos && owner[s] == NONE -> owner[s] = me; inc[s] = incarnation[me]; w_owner = me
              :: else -> skip /* somebody was faster: look again */
              fi
            }
          fi;
          if
          :: w_owner != me -> skip
          :: else ->
            crash_point;
            if
            :: side == PRODUCE ->
              atomic {
                producer = 2 * me + incarnation[me];
                object = producer * IDS + n;
                n++;
                slot[s % LANES * SLOTS + w_pos % SLOTS] = object
              };
              crash_point;
              atomic {
                tail[s] = w_pos + 1;
                fate[object] = 1;
                if
                :: s % LANES != choice -> aside[producer] = true
                :: else -> skip
                fi
              }
            :: else ->
              object = slot[s % LANES * SLOTS + w_pos % SLOTS];
              crash_point;
              atomic { deliver(object); tail[s] = w_pos + 1 }
            fi;
            crash_point;
            atomic {
              pos[s] = w_pos + 1;
              if
              :: side == PRODUCE && choice < HELD -> skip
              :: else -> owner[s] = NONE; inc[s] = 0
              fi
            };
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
    choice = NONE;
    n = 0;
    if
    :: incarnation[me]++; dead[me] = false
    :: count = calls
    fi
  };
  goto again;
done:
  /* Who ends in an orderly way leaves its lane as it is, and its lease is nobody's: as good as dead. */
  atomic { dead[me] = true; finished++ }
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
      :: owner[s] != NONE && (BROKEN != 4 || s % LANES == shared_home(owner[s])) ->
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
