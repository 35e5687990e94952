/** A process of the load generator: takes one Load as a message, sends progress and the result, and ends. */
import type { Load } from './load.ts';
import { runLoad } from './run.ts';

// Whoever started it is gone: nobody wants the load any more.
process.once('disconnect', () => process.exit(0));
process.once('message', (load: Load) => {
  void runLoad(load, (done) => process.send?.({ done })).then((result) => {
    process.send?.({ result }, () => process.disconnect());
  });
});
