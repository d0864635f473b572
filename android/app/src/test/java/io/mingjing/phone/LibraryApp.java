package io.mingjing.phone;

import io.mingjing.phone.agent.Agent;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Library;
import io.mingjing.phone.agent.Phone;

/** The app over the real library, with a key a test holds in its hands. */
public final class LibraryApp extends App {
    final FakeKey key = new FakeKey();

    @Override
    protected Phone makePhone() {
        // A phone that was not enrolled has no key yet.
        key.forget();
        return new Phone(this, new Phone.AgentSource() {
            @Override
            public Agent load() {
                return Library.load();
            }
        }, key);
    }
}
