// Sends a user to the same member every time, and other requests to the least busy one.

import { headerHash } from "equipoise:balancer/request@0.1.0";
import { busy } from "equipoise:balancer/candidates@0.1.0";

// The header field that names the user: the setting `header`.
let header = "x-user";

export const selector = {
  // Throwing a text refuses the settings with it.
  configure(settings, members) {
    header = "x-user";
    for (const { key, value } of settings) {
      if (key !== "header") {
        throw `unknown setting \`${key}\`; the only one is \`header\``;
      }
      header = value;
    }
  },

  select(count) {
    const hash = headerHash(header);
    if (hash != null) {
      // The hash is unsigned, but arrives as a signed number.
      return (hash >>> 0) % count;
    }
    const requests = busy();
    let least = 0;
    for (let i = 1; i < requests.length; i++) {
      if (requests[i] < requests[least]) {
        least = i;
      }
    }
    return least;
  },
};
