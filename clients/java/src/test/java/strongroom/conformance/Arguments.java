package strongroom.conformance;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.reflect.TypeToken;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import strongroom.client.Generator;
import strongroom.client.SecretValue;
import strongroom.client.Source;

/** The arguments of a step. */
record Arguments(JsonObject given) {
    boolean has(String name) {
        return given.has(name) && !given.get(name).isJsonNull();
    }

    String text(String name, String otherwise) {
        return has(name) ? given.get(name).getAsString() : otherwise;
    }

    String name() {
        return text("name", "");
    }

    int number(String name) {
        return has(name) ? given.get(name).getAsInt() : 0;
    }

    boolean flag(String name) {
        return has(name) && given.get(name).getAsBoolean();
    }

    Duration seconds(String name) {
        return Duration.ofNanos((long) (given.get(name).getAsDouble() * 1e9));
    }

    List<String> texts(String name) {
        List<String> texts = new ArrayList<>();
        given.getAsJsonArray(name).forEach(item -> texts.add(item.getAsString()));
        return texts;
    }

    Map<String, String> pairs(String name) {
        Map<String, String> pairs = new HashMap<>();
        for (Map.Entry<String, JsonElement> pair : given.getAsJsonObject(name).entrySet()) {
            pairs.put(pair.getKey(), pair.getValue().getAsString());
        }
        return pairs;
    }

    Map<String, Object> document(String name) {
        return new Gson().fromJson(given.get(name), new TypeToken<Map<String, Object>>() {}.getType());
    }

    SecretValue value() {
        JsonObject value = given.getAsJsonObject("value");
        return value.has("text")
                ? SecretValue.of(value.get("text").getAsString())
                : SecretValue.of(Base64.getDecoder().decode(value.get("binary").getAsString()));
    }

    Source source() {
        return has("generate")
                ? Generator.password(given.getAsJsonObject("generate").get("password_length").getAsInt())
                : value();
    }
}
